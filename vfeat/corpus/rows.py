"""Rows of a list as videos: each names one object, literally, and a bad row fails alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from vfeat.corpus.lists import VideoList
from vfeat.corpus.video import MISSING_ETAG, Video
from vfeat.errors import VfeatError
from vfeat.storage.failures import FolderFound, MissingObject, Unreachable
from vfeat.storage.globs import has_magic
from vfeat.storage.listing import Listed, find_object
from vfeat.storage.source import is_local
from vfeat.storage.uris import is_web, server_of

STAT_THREADS = 16  # a list of S3 keys costs one request each
SILENCE_S = 60.0  # how long a server that did not answer is not asked again

_Row = tuple[int, bytes | None, dict[str, Any]]


def videos_of(listed: VideoList) -> Iterator[Video]:
    """Find the objects of all rows; a row without one is a video with a problem."""
    finder = _Finder(listed.source)
    rows = _rows(listed)
    with ThreadPoolExecutor(STAT_THREADS) as pool:
        while batch := list(islice(rows, 1024)):
            yield from pool.map(finder.video, batch)


def _rows(listed: VideoList) -> Iterator[_Row]:
    """Yield (number from 1, uri, further columns) of each row."""
    step = 4096
    for start in range(0, len(listed.uris), step):
        uris = listed.uris.slice(start, step).to_pylist()
        columns = listed.extras.slice(start, step)
        extras = columns.to_pylist() if listed.extras.num_columns else [{} for _ in uris]
        for place, (uri, extra) in enumerate(zip(uris, extras, strict=True)):
            yield start + place + 1, uri, extra


class _Finder:
    """Finder of the objects of one list's rows, used from several threads."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._silent_until_s: dict[str, float] = {}

    def video(self, row: _Row) -> Video:
        number, name, extra = row
        try:
            text = (name or b"").decode().strip()
        except UnicodeDecodeError as error:
            assert name is not None
            shown = name.decode("utf-8", "backslashreplace")
            bad = name[error.start : error.end].hex(" ")
            why = (
                f"{self._source}, row {number}: the uri {shown} is not UTF-8 (byte {bad} at place "
                f"{error.start + 1}); save the list as UTF-8"
            )
            return Video(shown, 0, MISSING_ETAG, extra, why)
        if not text:
            return Video("", 0, "", extra, f"row {number} of {self._source} has no uri")
        uri = text
        if is_local(uri) and not uri.startswith("file://") and not os.path.isabs(uri):
            uri = _beside(self._source, uri)
        try:
            found = self._find(uri)
        except FolderFound as error:
            why = f"{error}: a row of a list names one file"
        except MissingObject as error:
            # a web address is full of such characters, and nobody takes it for a pattern
            pattern = has_magic(uri) and not is_web(uri)
            why = f"{error}; * ? [ are no pattern in a list" if pattern else str(error)
        except VfeatError as error:
            why = str(error)
        else:
            return Video(found.uri, found.size_bytes, found.etag, extra)
        return Video(uri, 0, MISSING_ETAG, extra, why)

    def _find(self, uri: str) -> Listed:
        if is_local(uri):
            return find_object(uri)
        server = server_of(uri)
        if time.monotonic() < self._silent_until_s.get(server, 0.0):
            raise Unreachable(f"{uri}: not asked for, since {server} did not answer just before")
        try:
            return find_object(uri)
        except Unreachable:
            self._silent_until_s[server] = time.monotonic() + SILENCE_S
            raise


def _beside(source: str, uri: str) -> str:
    """Resolve a relative name against the list's folder, or against here if it exists only here."""
    if not is_local(source):
        return f"{source.rpartition('/')[0]}/{uri}"
    beside, here = os.path.join(os.path.dirname(os.path.abspath(source)), uri), os.path.abspath(uri)
    if "\0" in uri or os.path.exists(beside) or not os.path.exists(here):
        return beside
    return here
