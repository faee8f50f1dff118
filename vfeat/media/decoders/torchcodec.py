"""TorchCodec, an extra; it brings torch into the child (340 MB and some seconds)."""

from __future__ import annotations

from typing import cast

from vfeat.media.decoders.base import RGB, Decoder, DecodeRequest, opens_paths
from vfeat.media.decoders.indexed import Reader, open_indexed

_CODECS = frozenset({"h264", "hevc", "mpeg4", "vp8", "vp9", "av1"})
_PIXEL_FORMATS = frozenset({"yuv420p", "yuvj420p"})


@opens_paths
def open_torchcodec(request: DecodeRequest) -> Decoder:
    """Open the decoder named `torchcodec`."""
    return open_indexed(request, "torchcodec", _open, _CODECS, _PIXEL_FORMATS)


def _open(path: str) -> Reader:
    from torchcodec.decoders import VideoDecoder

    video = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    return Reader(len(video), lambda number: cast(RGB, video[number].numpy()), lambda: None)
