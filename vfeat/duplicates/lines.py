"""Straight lines through the hits of two videos: a copy has one offset and one speed.

A hit is a point (time in A, time in B). Hits vote for lines b = offset + speed * a; the line with
most votes is read out, its hits are taken away, and the next one follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vfeat.duplicates.clips import F32, F64

SPEEDS = np.round(np.arange(0.75, 1.3401, 0.025), 3)
"""Speeds of A's time over B's that are tried: 25 % faster or slower, either way round."""
MOST_LINES = 8
_LOG_PRIOR = 0.05
"""Advantage of the speed 1: few copies have another."""


@dataclass(frozen=True)
class Line:
    """A line b = offset_s + speed * a, and the span of A that its hits cover.

    Attributes:
        speed: seconds of B that pass in a second of A.
    """

    speed: float
    offset_s: float
    from_s: float
    to_s: float


def lines(a_s: F64, b_s: F64, votes_H: F32, bin_s: float, fewest: float) -> Iterator[Line]:
    """Yield lines, those with most votes first.

    Args:
        a_s, b_s: times of the hits.
        votes_H: weight of each hit.
        bin_s: hits within this of each other vote together.
        fewest: votes of a line that is yielded.
    """
    left = np.ones(len(a_s), bool)
    for _ in range(MOST_LINES):
        if votes_H[left].sum() < fewest:
            return
        speed, offset, votes = _strongest(a_s[left], b_s[left], votes_H[left], bin_s)
        if votes < fewest:
            return
        near = left & (np.abs(b_s - offset - speed * a_s) <= bin_s)
        yield Line(speed, offset, float(a_s[near].min()), float(a_s[near].max()))
        left &= np.abs(b_s - offset - speed * a_s) > 1.5 * bin_s


def _strongest(a_s: F64, b_s: F64, votes_H: F32, bin_s: float) -> tuple[float, float, float]:
    """Return speed, offset and votes of the line with most votes."""
    best = (1.0, 0.0, -1.0)
    most = -np.inf
    for speed in SPEEDS:
        offsets = b_s - speed * a_s
        bins, place = np.unique(np.floor(offsets / bin_s).astype(np.int64), return_inverse=True)
        heights = np.bincount(place, votes_H)
        beside = np.where(np.diff(bins) == 1, heights[1:], 0)
        pairs = heights + np.append(beside, 0)  # a bin and the one above it
        top = int(pairs.argmax())
        preferred = pairs[top] * np.exp(-_LOG_PRIOR * (speed != 1))
        if preferred > most:
            most = preferred
            chosen = (place == top) | (place == top + (beside[top] > 0 if top < len(beside) else 0))
            offset = float(np.average(offsets[chosen], weights=votes_H[chosen]))
            best = (float(speed), offset, float(pairs[top]))
    return best
