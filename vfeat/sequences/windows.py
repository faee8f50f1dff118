"""Sliding windows over a sequence, in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil


@dataclass(frozen=True)
class SequenceWindow:
    """A window of one video: clips first..last, inclusive.

    Attributes:
        first_clip, last_clip: range of clip indices, inclusive.
        start_s, end_s: seconds from the first presented frame.
    """

    first_clip: int
    last_clip: int
    start_s: float
    end_s: float


def whole(clips: int, stride_s: float, clip_s: float) -> SequenceWindow:
    """Return the whole video as one window.

    Args:
        clips: number of clips of the video.
        stride_s, clip_s: clip grid of the recipe, seconds.
    """
    return SequenceWindow(0, clips - 1, 0.0, (clips - 1) * stride_s + clip_s)


def sliding(
    clips: int, stride_s: float, clip_s: float, window_s: float, hop_s: float
) -> Iterator[SequenceWindow]:
    """Yield windows every `hop_s`; a window holds the clips that begin in it.

    The last one is the first that reaches the end of the video; a video shorter than a window
    yields one window.

    Args:
        clips: number of clips of the video.
        stride_s, clip_s: clip grid of the recipe, seconds.
        window_s, hop_s: length and spacing of the windows, seconds.
    """
    # Exact fractions: in floats, 0.3 / 0.1 would lose a clip.
    stride, clip = Fraction(repr(stride_s)), Fraction(repr(clip_s))
    window, hop = Fraction(repr(window_s)), Fraction(repr(hop_s))
    end = (clips - 1) * stride + clip
    count = 1 + max(0, ceil((end - window) / hop))
    for number in range(count):
        start = number * hop
        first = ceil(start / stride)
        last = min(clips - 1, ceil((start + window) / stride) - 1)
        if first <= last:
            yield SequenceWindow(first, last, float(start), float(min(start + window, end)))
