"""The pass over a video that finds its cuts: every frame, small, through one detector.

It holds one picture (the network of TransNetV2 a hundred small ones) and eight bytes of each cut,
however long the video is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, cast

from vfeat.errors import UnitError
from vfeat.job.recipe import DecodeLimits, ShotSpec
from vfeat.media.container import check_pixels, out_of_memory
from vfeat.media.decoders.base import RGB, DecodeRequest, Frame
from vfeat.media.decoders.display_order import StalledDecoder, in_display_order
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.shots.detectors import load_detector
from vfeat.media.source import Progress, Source
from vfeat.video_facts import MOST_CUTS, Timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


class SmallPictures(PyavDecoder):
    """PyAV's frames, converted and scaled in one step, and not rotated.

    Every frame has the size that the first one leads to, whatever becomes of the video.
    """

    def __init__(self, request: DecodeRequest, fit: Callable[[int, int], tuple[int, int]]) -> None:
        """Open the video; nothing is decoded yet.

        Args:
            fit: returns height and width of the pictures from those of the video.
        """
        super().__init__(request)
        self._fit = fit
        self._size: tuple[int, int] | None = None

    def _to_rgb(self, frame: VideoFrame, turns: int) -> RGB:
        uri = self._request.source.uri
        check_pixels(frame.width, frame.height, uri, self._max_pixels)
        if self._size is None:
            self._size = self._fit(frame.height, frame.width)
        height, width = self._size
        try:
            small = self._reformatter.reformat(
                frame, width=width, height=height, format="rgb24", interpolation="BILINEAR",
                threads=1,
            )  # fmt: skip
        except MemoryError as error:
            raise out_of_memory(uri) from error
        return cast(RGB, small.to_ndarray())


def find_cuts(
    source: Source, line: Timeline, spec: ShotSpec, limits: DecodeLimits, progress: Progress
) -> tuple[int, ...]:
    """Decode a video and return the ticks, after its origin, at which a shot begins.

    The first shot begins with the video and is not among them. Where the video cannot be decoded
    on, no more cuts are found; making its clips meets the same place and has the error.

    Args:
        line: the video's times.
        spec: the recipe's detector.
        progress: called with the byte of the file that reading has reached.

    Raises:
        UnitError: too_large, for more cuts than a timeline holds; storage.
    """
    detector = load_detector(spec)(spec.threshold, line.tick_s)
    decoder = SmallPictures(DecodeRequest(source, line, limits, progress), detector.fit)
    least = ceil(spec.shortest / line.tick_s)
    cuts: list[int] = []
    last = -1

    def keep(found: list[int]) -> None:
        for tick in found:
            before = cuts[-1] if cuts else 0
            if tick - before >= max(least, 1) and line.duration_ticks - tick >= max(least, 1):
                cuts.append(tick)
        if len(cuts) > MOST_CUTS:
            raise UnitError(
                "too_large",
                f"{source.uri}: has more than {MOST_CUTS:,} shots in "
                f"{float(last * line.tick_s):,.0f} s of {float(line.duration_s):,.0f} s; a longer "
                "min_shot_seconds or a higher shot_threshold finds fewer",
            )

    try:
        for frame in _frames(decoder):
            tick = frame.tick - line.origin_tick
            if tick > last:
                last = tick
                keep(detector.add(tick, frame.to_rgb()))
        keep(detector.finish())
    finally:
        decoder.close()
    return tuple(cuts)


def _frames(decoder: PyavDecoder) -> Iterator[Frame]:
    with suppress(StalledDecoder):
        yield from in_display_order(decoder.read)
