"""A stretch of a video for a browser, made by a child in the sandbox."""

from __future__ import annotations

import json
import math
import os
import posixpath
import re
import select
import socket
import tempfile
from contextlib import suppress
from typing import cast

from vfeat.errors import ERROR_CLASSES, ErrorClass, UnitError
from vfeat.media.children.feeder import Feeder
from vfeat.media.children.served import Served
from vfeat.media.children.started import explain_exit, start_child
from vfeat.media.children.task import DecodeTask
from vfeat.media.playing.child_main import HEAD_END
from vfeat.media.playing.convert import Stretch
from vfeat.storage.uris import is_local
from vfeat.surroundings import here

_MODULE = "vfeat.media.playing.child_main"
_TIMEOUT_S = 60.0
_PATIENCE_S = 15.0
_MOST_BYTES = 128 << 20
_MOST_HEAD, _MOST_CHARS = 8192, 2000
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


def make_stretch(
    uri: str, size_bytes: int | None, etag: str | None, from_s: float, seconds: float
) -> Stretch:
    """Convert a stretch of a video.

    Args:
        uri, size_bytes, etag: as listed; another content is refused.
        from_s: where it begins, seconds after the first presented frame.
        seconds: its length at most, from there on.

    Raises:
        UnitError: it cannot be read or decoded, or takes too long or too much.
    """
    task = DecodeTask(0, "", uri, size_bytes, None, 0, None, etag=etag)
    served = Served(task, _PATIENCE_S, 0)
    suffix = posixpath.splitext(uri)[1]
    further = (
        suffix if _SUFFIX.fullmatch(suffix) else "", "local" if is_local(uri) else "remote",
        repr(float(from_s)), repr(float(seconds)),
    )  # fmt: skip
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    with tempfile.TemporaryFile("a+b", prefix="vfeat-child-") as words:
        feeder = Feeder(ours, lambda: None)
        feeder.start()
        feeder.serve(served)
        try:
            try:
                child = start_child(
                    words, theirs.fileno(), writing, module=_MODULE, further=further
                )
            finally:
                theirs.close()
                os.close(writing)
            try:
                data = _all_of(reading, uri)
            finally:
                child.kill()
                code = child.wait()
            if served.failure is not None:
                raise served.failure
            if HEAD_END not in data:
                raise UnitError("crashed", f"{uri}: {explain_exit(code, words)}")
        finally:
            os.close(reading)
            feeder.end()
    return _believed(data, uri)


def _all_of(handle: int, uri: str) -> bytes:
    """Read a pipe to its end."""
    end_s, parts, size = here().now_s() + _TIMEOUT_S, list[bytes](), 0
    while True:
        left = end_s - here().now_s()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            raise UnitError("timeout", f"{uri}: not converted within {_TIMEOUT_S:g} s")
        if not (block := os.read(handle, 1 << 20)):
            return b"".join(parts)
        parts.append(block)
        size += len(block)
        if size > _MOST_BYTES:
            raise UnitError("too_large", f"{uri}: the stretch takes more than {_MOST_BYTES:,} B")


def _believed(data: bytes, uri: str) -> Stretch:
    """Return what a child that may be taken over has sent, checked."""
    place = data.index(HEAD_END)
    with suppress(ValueError, TypeError, KeyError):
        head = json.loads(data[:place]) if place <= _MOST_HEAD else {}
        if "message" in head:
            known = head["error_class"] in ERROR_CLASSES
            error_class = cast(ErrorClass, head["error_class"]) if known else "internal"
            raise UnitError(error_class, f"{uri}: {str(head['message'])[:_MOST_CHARS]}")
        start_s = float(head["start_s"])
        if math.isfinite(start_s):
            return Stretch(start_s, head["is_copied"] is True, data[place + 1 :])
    raise UnitError("crashed", f"{uri}: the converter broke its protocol")
