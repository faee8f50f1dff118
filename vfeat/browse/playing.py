"""The bytes of a video, in ranges, from disk or bucket; and stretches that are made playable."""

from __future__ import annotations

import posixpath
import re
import threading
from collections.abc import Iterator

from starlette.responses import Response, StreamingResponse

from vfeat.browse.failures import Refused
from vfeat.browse.videos import Video
from vfeat.media.playing.stretch import make_stretch
from vfeat.storage.source import open_source

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_BLOCK_BYTES = 256 << 10
_PATIENCE_S = 15.0
_TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm",
    ".mkv": "video/x-matroska", ".ogv": "video/ogg",
}  # fmt: skip
STRETCH_S = 20.0
_AT_ONCE = threading.BoundedSemaphore(2)
_WAIT_S = 60.0


def file_answer(video: Video, method: str, asked: str | None, if_range: str | None) -> Response:
    """Answer a request for a video's bytes.

    Args:
        asked: the header Range; what is no single range of bytes gets the whole file.
        if_range: the header If-Range; the file of another etag is given as a whole.

    Raises:
        StorageError: it is gone, has changed, or cannot be read.
    """
    size = video.size_bytes
    file = open_source(video.uri, size, etag=video.etag, patience_s=_PATIENCE_S)
    try:
        if size is None:
            size = file.seek(0, 2)
        etag = f'"{video.video_id}"'
        kind = _TYPES.get(posixpath.splitext(video.uri)[1].lower(), "application/octet-stream")
        headers = {
            "accept-ranges": "bytes", "etag": etag, "content-type": kind,
            "cache-control": "private, no-cache", "content-disposition": "inline",
        }  # fmt: skip
        span = None if if_range not in (None, etag) else parse_range(asked, size)
        if span == ():
            file.close()
            return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
        first, end = span or (0, size)
        status = 206 if span else 200
        if span:
            headers["content-range"] = f"bytes {first}-{end - 1}/{size}"
        headers["content-length"] = str(end - first)
        if method == "HEAD" or first == end:
            file.close()
            return Response(status_code=status, headers=headers)
        file.seek(first)
        block = file.read(min(_BLOCK_BYTES, end - first))  # an error here still has a status
    except BaseException:
        file.close()
        raise

    def blocks() -> Iterator[bytes]:
        try:
            left, data = end - first, block
            while data:
                left -= len(data)
                yield data
                data = file.read(min(_BLOCK_BYTES, left)) if left else b""
        finally:
            file.close()

    return StreamingResponse(blocks(), status, headers)


def parse_range(asked: str | None, size: int) -> tuple[int, int] | tuple[()] | None:
    """Return first byte and end of a range; () if it lies outside; None for the whole file."""
    found = _RANGE.fullmatch(asked.strip()) if asked else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        last = int(found[2])
        return (max(0, size - last), size) if last and size else ()
    first = int(found[1])
    end = min(size, int(found[2]) + 1) if found[2] else size
    if found[2] and int(found[2]) < first:
        return None  # not a range at all
    return (first, end) if first < size else ()


def stretch_answer(video: Video, from_s: float) -> Response:
    """Answer with a stretch of a video as MP4; its start stands in a header.

    Raises:
        UnitError: it cannot be made.
    """
    if not _AT_ONCE.acquire(timeout=_WAIT_S):
        raise Refused(503, "other videos are being converted: try again in a moment")
    try:
        made = make_stretch(video.uri, video.size_bytes, video.etag, from_s, STRETCH_S)
    finally:
        _AT_ONCE.release()
    headers = {
        "vfeat-start-s": repr(made.start_s),
        "vfeat-copied": "1" if made.is_copied else "0",
        "cache-control": "private, max-age=600",
    }
    return Response(made.mp4, 200, headers, "video/mp4")
