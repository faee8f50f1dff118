"""Encoding of frames as a video file, by the codecs that are frequent in archives."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from recipes.camera_motion.synthetic.scenes import U8
from recipes.camera_motion.synthetic.whole import whole


def write_video(rng: np.random.Generator, path: str, frames_THWC: U8, rate_fps: int) -> None:
    """Compress with a random codec and quality; the file appears whole or not at all.

    Args:
        path: ends in `.mp4`.
        frames_THWC: uint8 [T, H, W, 3], RGB; H and W even.
    """
    with whole(path) as part, av.open(part, "w", format="mp4") as container:
        codec = str(rng.choice(["libx264", "mpeg4"], p=[0.8, 0.2]))
        stream = container.add_stream(codec, rate=Fraction(rate_fps))
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            crf = int(rng.integers(16, 36))
            # x264's macroblock tree is not the same twice.
            stream.options = {
                "preset": "veryfast", "crf": str(crf), "threads": "1", "x264-params": "mbtree=0",
            }  # fmt: skip
        else:
            stream.options = {"qscale": str(int(rng.integers(3, 14)))}
            stream.codec_context.flags |= av.codec.context.Flags.qscale
            stream.codec_context.global_quality = int(rng.integers(3, 14)) * 118  # FF_QP2LAMBDA
        for pixels in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
