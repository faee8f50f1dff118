"""decord, for the files that it decodes correctly; PyAV takes the others.

Measured on 0.6.0: silently shifted frames with edit lists, first group lost in MPEG-TS, garbage
times in AVI, no AV1, other frames than asked for after a seek in HEVC, and colours up to 70 levels
off in pictures of odd size or 10 bits.
"""

from __future__ import annotations

from typing import cast

from vfeat.media.decoders.base import RGB, Decoder, DecodeRequest, opens_paths
from vfeat.media.decoders.indexed import Reader, open_indexed

_CODECS = frozenset({"h264", "mpeg4", "vp8", "vp9"})
_PIXEL_FORMATS = frozenset({"yuv420p", "yuvj420p"})


@opens_paths
def open_decord(request: DecodeRequest) -> Decoder:
    """Open the decoder named `decord`."""
    return open_indexed(request, "decord", _open, _CODECS, _PIXEL_FORMATS)


def _open(path: str) -> Reader:
    import decord

    video = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    return Reader(
        len(video),
        lambda number: cast(RGB, video[number].asnumpy()),
        # It decodes ahead without bound while idle: 4 GB in 12 s. A seek stops that.
        lambda: video.seek(0),
    )
