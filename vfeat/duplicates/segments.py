"""The stretch of a line on which two videos are the same, by all clips along it.

Not only the nearest neighbours are compared: every clip of A on the line is, with the clips of B
at its time. The stretch is the one with the largest sum of gains; a gain is positive where the
two are more alike than usual, negative where they are not, and nothing where a clip is no
evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vfeat.duplicates.candidates import excess
from vfeat.duplicates.clips import F32, I64, Clips
from vfeat.duplicates.lines import Line
from vfeat.duplicates.refine import refined
from vfeat.duplicates.weights import Weights

THRESHOLD = 0.15
"""Excess from which a clip speaks for a copy."""
WORST = -0.35
"""Gain of a clip that differs altogether; bounds what a short disturbance costs."""
_ROUNDS = 3
_REACH_S = 30.0
_NEARLY = 0.95
_SURE = 0.6
"""Excess at which a clip that is no evidence still belongs to a stretch beside it."""
_PART = 0.3
"""Part of the median excess of a stretch that its first and its last clip have at least."""
WHOLE = 0.7
"""Share of the shorter video from which a stretch is a copy of the whole, its intro included."""


@dataclass(frozen=True)
class Segment:
    """A stretch of video A that is a stretch of video B.

    Attributes:
        a, b: places of the videos.
        speed: seconds of B that pass in a second of A.
        score: mean likeness along it, from 0 (usual) to 1 (equal).
        evidence_s: seconds of clips that speak for it, less those that speak against it.
    """

    a: int
    b: int
    a_start_s: float
    a_end_s: float
    b_start_s: float
    b_end_s: float
    speed: float
    score: float
    evidence_s: float


@dataclass(frozen=True)
class _Match:
    """Clips of A along a line, and those of B at their times; `rows_b` is the better of two."""

    rows_a: I64
    rows_b: I64
    excess_M: F32


class Aligner:
    """Finds the stretch of a line.

    Args:
        usual_N: what is usual for each clip.
    """

    def __init__(self, clips: Clips, usual_N: F32, weights: Weights) -> None:
        self.clips, self.usual_N, self.weights = clips, usual_N, weights
        self.clip_s, self.stride_s = clips.grid()

    def segment(self, a: int, b: int, line: Line) -> Segment | None:
        """Return the stretch around a line; None where nothing along it is the same."""
        best: Segment | None = None
        for _ in range(_ROUNDS):
            match = self._along(a, b, line)
            if match is None:
                break
            found, stretch = self._stretch(a, b, line, match)
            if found is None:
                break
            if best is None or found.evidence_s > _NEARLY * best.evidence_s:
                best = found  # a refined line is nearer to the truth
            line = refined(self.clips, b, line, match.rows_a[stretch], self.stride_s)
            line = replace(line, from_s=found.a_start_s, to_s=found.a_end_s)
        return best

    def _along(self, a: int, b: int, line: Line) -> _Match | None:
        """Compare the clips of A on a line with those of B at its times."""
        rows, start = self.clips.rows(a), self.clips.start_N
        b_first, b_start = self.clips.rows(b).start, start[self.clips.rows(b)]
        lower = np.searchsorted(start[rows], line.from_s - _REACH_S)
        upper = np.searchsorted(start[rows], line.to_s + _REACH_S)
        rows_a = np.arange(rows.start + lower, rows.start + upper)
        # The middles of the two clips correspond, whatever the speed.
        at_s = line.offset_s + line.speed * start[rows_a]
        inside = (at_s > b_start[0] - self.stride_s) & (at_s < b_start[-1] + self.stride_s)
        rows_a, at_s = rows_a[inside], at_s[inside]
        if not len(rows_a):
            return None
        above = np.clip(np.searchsorted(b_start, at_s), 0, len(b_start) - 1)
        sides = np.stack([np.maximum(above - 1, 0), above])
        vectors_a = np.asarray(self.clips.vectors_ND[rows_a])
        vectors_b = np.asarray(self.clips.vectors_ND[sides + b_first])
        likeness = np.einsum("md,smd->sm", vectors_a, vectors_b)
        # Where a clip is missing, the nearest one may be far away: it is another moment.
        likeness[np.abs(b_start[sides] - at_s) > self.stride_s * 1.01] = -1
        better = np.take_along_axis(sides, likeness.argmax(axis=0)[None], axis=0)[0] + b_first
        found = excess(likeness.max(axis=0), self.usual_N[rows_a], self.usual_N[better])
        return _Match(rows_a, better, found)

    def _stretch(self, a: int, b: int, line: Line, match: _Match) -> tuple[Segment | None, slice]:
        """Return the best stretch of a match, and its slice."""
        weights = self.weights
        gain = np.clip(match.excess_M - THRESHOLD, WORST, 1 - THRESHOLD) / (1 - THRESHOLD)
        novel = np.minimum(weights.novelty_N[match.rows_a], weights.novelty_N[match.rows_b])
        recurs = weights.recurs_N[match.rows_a] | weights.recurs_N[match.rows_b]
        as_whole = np.where(gain > 0, gain * novel, gain)
        evidence = np.where((gain > 0) & recurs, 0, as_whole)
        whole = best_run(as_whole)
        if self._share(a, b, whole, match) >= WHOLE:
            evidence, run = as_whole, whole
        else:
            run = best_run(evidence)
        if run.stop <= run.start:
            return None, run
        total = float(evidence[run].sum())
        run = _trimmed(run, match.excess_M)
        run = _grown(run, match.excess_M >= _SURE, evidence == 0)
        return self._made(a, b, line, match, run, total * self.stride_s), run

    def _share(self, a: int, b: int, run: slice, match: _Match) -> float:
        covered_s = float(run.stop - run.start) * self.stride_s + self.clip_s - self.stride_s
        return covered_s / min(self.clips.length_s(a), self.clips.length_s(b))

    def _made(
        self, a: int, b: int, line: Line, match: _Match, run: slice, evidence_s: float
    ) -> Segment:
        clips = self.clips
        first, last = match.rows_a[run.start], match.rows_a[run.stop - 1]
        a_from, a_to = float(clips.start_N[first]), float(clips.end_N[last])
        middle_s = self.clip_s / 2 * (1 - line.speed)  # line maps starts of clips, not moments
        b_from, b_to = (line.offset_s + line.speed * t + middle_s for t in (a_from, a_to))
        own = clips.rows(b)
        b_from = max(b_from, float(clips.start_N[own.start]))
        b_to = min(b_to, float(clips.end_N[own].max()))
        score = float(np.clip(match.excess_M[run], 0, 1).mean())
        return Segment(a, b, a_from, a_to, b_from, b_to, line.speed, score, evidence_s)


def best_run(gain_M: npt.NDArray[np.floating]) -> slice:
    """Return the run of values with the largest sum; an empty one where none is positive."""
    if not len(gain_M):
        return slice(0, 0)
    sums = np.concatenate([[0.0], np.cumsum(gain_M, dtype=np.float64)])
    lowest = np.minimum.accumulate(sums[:-1])
    end = int(np.argmax(sums[1:] - lowest)) + 1
    if sums[end] - lowest[end - 1] <= 0:
        return slice(0, 0)
    # The last of equal lows: the run begins with evidence.
    start = int(np.flatnonzero(sums[:end] == lowest[end - 1])[-1])
    return slice(start, end)


def _trimmed(run: slice, excess_M: F32) -> slice:
    """Leave out clips at the ends that are much less alike than the others.

    They lie half outside of the copy.
    """
    alike = excess_M[run] >= _PART * np.median(excess_M[run])
    inside = np.flatnonzero(alike)
    return slice(run.start + int(inside[0]), run.start + int(inside[-1]) + 1)


def _grown(run: slice, is_sure: npt.NDArray[np.bool_], is_neutral: npt.NDArray[np.bool_]) -> slice:
    """Add clips beside a run that are the same and were left out as no evidence."""
    start, stop = run.start, run.stop
    while start > 0 and is_sure[start - 1] and is_neutral[start - 1]:
        start -= 1
    while stop < len(is_sure) and is_sure[stop] and is_neutral[stop]:
        stop += 1
    return slice(start, stop)
