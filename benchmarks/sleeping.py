"""A decoder whose cost is time and no CPU: simulates cores that this machine does not have.

`--decoder benchmarks.sleeping:sleeping` decodes with PyAV and sleeps SECONDS for each second of
video, so that a decoder child delivers 1 / SECONDS clips of one second a second.
"""

from __future__ import annotations

import time

from vfeat.media.decoders.base import Decoder, DecodeRequest, Frame
from vfeat.media.decoders.pyav import PyavDecoder

# Fixed: a decoder child has none of its parent's environment.
SECONDS = 1.0
EVERY_FRAMES = 25  # of the clip that is copied: one second


class Sleeping(PyavDecoder):
    """PyAV, and a sleep for every second of video."""

    _seen = 0

    def read(self) -> Frame | None:
        frame = super().read()
        self._seen += frame is not None
        if frame is not None and self._seen % EVERY_FRAMES == 0:
            time.sleep(SECONDS)
        return frame


def sleeping(request: DecodeRequest) -> Decoder:
    """Open a video with a decoder that takes its time."""
    return Sleeping(request)
