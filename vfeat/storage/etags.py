"""The etag of an object, and whether an object is still the one that its etag was taken of."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

# names under which stores give what changes with the content, in fsspec's infos and in HTTP
_CONTENT = (
    *("ETag", "etag", "md5Hash", "md5", "content_md5", "Content-MD5", "Digest", "sha256", "sha"),
    *("blob_id", "CRC"),
)
_CHANGED = (
    *("mtime", "LastModified", "Last-Modified", "last_modified", "modify", "last_write_time"),
    *("modified", "created"),
)
_MADE = re.compile(r"(\d+)-(None|\d+(?:\.\d+)?)")
_LOCAL = re.compile(r"\d+-\d+")


def local_etag_of(status: os.stat_result) -> str:
    """Build the etag from size and mtime: a file that was only touched counts as changed."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def is_same_file(etag: str, status: os.stat_result) -> bool:
    """Return whether a local file is the one of an etag; True for etags of another make."""
    return _LOCAL.fullmatch(etag) is None or etag == local_etag_of(status)


def etag_of(info: Mapping[str, Any], size_bytes: int) -> str:
    """Return the store's own etag or checksum, else one made of size and time of change.

    Args:
        info: of fsspec, or the headers of an HTTP answer.
        size_bytes: size of the object.
    """
    own = _own_etag(info)
    return own if own is not None else f"{size_bytes}-{changed_s(info)}"


def changed_s(info: Mapping[str, Any]) -> float | None:
    """Return the time of the last change, seconds since 1970; None if the store gives none."""
    if info.get("modificationTime"):  # WebHDFS, milliseconds
        return float(info["modificationTime"]) / 1000
    changed: Any = next((info[name] for name in _CHANGED if info.get(name)), None)
    if isinstance(changed, str):
        changed = _time_of(changed)
    if isinstance(changed, datetime):
        aware = changed if changed.tzinfo else changed.replace(tzinfo=UTC)
        return aware.timestamp()
    return float(changed) if isinstance(changed, (int, float)) else None


def _time_of(text: str) -> datetime | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError):
            return parse(text)
    return None


def is_same_object(etag: str, size_bytes: int, info: Mapping[str, Any]) -> bool:
    """Return whether a store's present answer agrees with an etag; sizes are compared elsewhere.

    What only one side gives is not compared: some servers answer HEAD and GET with different
    headers.

    Args:
        etag: from `etag_of`, or from a list.
        size_bytes: size at that time.
        info: as for `etag_of`.
    """
    own = _own_etag(info)
    if own == etag:
        return True
    made = _MADE.fullmatch(etag)
    if made is None or int(made[1]) != size_bytes:
        return own is None
    now_s = changed_s(info)
    return made[2] == "None" or now_s is None or float(made[2]) == now_s


def _own_etag(info: Mapping[str, Any]) -> str | None:
    own = next((info[name] for name in _CONTENT if info.get(name)), None)
    return None if own is None else str(own).strip('"')
