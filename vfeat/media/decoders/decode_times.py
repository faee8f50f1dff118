"""Frames of containers that store decoding times only: they come in order, their times do not."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vfeat.media.clock import MAX_REORDER

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from vfeat.media.container import Opened

_DECODE_TIMES_ONLY = {"avi"}


def has_display_times(opened: Opened) -> bool:
    """Return whether a container stores when pictures are shown."""
    return opened.container.format.name not in _DECODE_TIMES_ONLY


def sorted_times(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield frames in the order in which they come, their times in ascending order."""
    waiting: deque[VideoFrame] = deque()
    ticks: list[int] = []
    for frame in frames:
        waiting.append(frame)
        if frame.pts is not None:
            insort(ticks, frame.pts)
        if len(waiting) > MAX_REORDER:
            yield _retimed(waiting.popleft(), ticks)
    while waiting:
        yield _retimed(waiting.popleft(), ticks)


def _retimed(frame: VideoFrame, ticks: list[int]) -> VideoFrame:
    if ticks:
        frame.pts = ticks.pop(0)
    return frame
