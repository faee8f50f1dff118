"""Clips on shots: each shot is covered by clips, and no clip spans a cut.

All arithmetic is exact; seconds are `Fraction`s after the first presented frame.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from math import ceil, floor

from vfeat.job.recipe import ClipSpec
from vfeat.video_facts import Timeline


@dataclass(frozen=True)
class Shot:
    """One shot of a video.

    Attributes:
        index: number of the shot, from 0.
        start_s, end_s: seconds after the first presented frame.
        first_clip, last_clip: its clips, both included.
    """

    index: int
    start_s: Fraction
    end_s: Fraction
    first_clip: int
    last_clip: int


class ShotGrid:
    """The clips of one video, laid on its shots.

    A shot is cut into clips of the recipe's length, one every stride; the last one ends where the
    shot ends, and overlaps the one before if need be. A shot that is shorter than a clip is one
    clip of its own length. Starts and ends never decrease from clip to clip.

    Attributes:
        n_clips: clips of all shots.
    """

    def __init__(self, spec: ClipSpec, line: Timeline) -> None:
        self._clip, self._stride = spec.clip, spec.stride
        edges = [0, *line.cuts, line.duration_ticks]
        self._edges = [tick * line.tick_s for tick in edges]
        lengths = zip(self._edges, self._edges[1:], strict=False)
        counts = [self._count(end - start) for start, end in lengths]
        self._first = list(accumulate(counts, initial=0))
        self.n_clips = self._first[-1]
        self.n_shots = len(counts)

    def _count(self, length: Fraction) -> int:
        if length <= self._clip:
            return 1
        return 1 + ceil((length - self._clip) / self._stride)

    def shot(self, index: int) -> Shot:
        """Return a shot by its number."""
        first, after = self._first[index : index + 2]
        return Shot(index, self._edges[index], self._edges[index + 1], first, after - 1)

    def shot_of(self, clip_index: int) -> Shot:
        """Return the shot that a clip lies on."""
        return self.shot(bisect_right(self._first, clip_index) - 1)

    def span(self, clip_index: int) -> tuple[Fraction, Fraction]:
        """Return start and end of a clip's window."""
        shot = self.shot_of(clip_index)
        if clip_index < shot.last_clip:
            start = shot.start_s + (clip_index - shot.first_clip) * self._stride
            return start, start + self._clip
        return max(shot.start_s, shot.end_s - self._clip), shot.end_s

    def last_ending_by(self, moment_s: Fraction) -> int:
        """Return the largest index (may be < 0) of a clip that ends by a moment."""
        index = bisect_right(self._edges, moment_s) - 1  # shots that end by then
        if index < 0:
            return -1
        if index >= self.n_shots:
            return self.n_clips - 1
        shot = self.shot(index)
        inside = floor((moment_s - shot.start_s - self._clip) / self._stride)
        return min(shot.first_clip + max(inside, -1), shot.last_clip - 1)

    def first_starting_after(self, moment_s: Fraction) -> int:
        """Return the smallest index (may be n_clips) of a clip that starts after a moment."""
        index = bisect_right(self._edges, moment_s) - 1
        if index < 0:
            return 0
        if index >= self.n_shots:
            return self.n_clips
        shot = self.shot(index)
        clip = shot.first_clip + floor((moment_s - shot.start_s) / self._stride) + 1
        if clip < shot.last_clip:
            return clip
        return shot.last_clip + (self.span(shot.last_clip)[0] <= moment_s)

    def nearest(self, moment_s: Fraction) -> int:
        """Return the clip whose middle is nearest to a moment, of the shot that it lies in."""
        index = min(max(bisect_right(self._edges, moment_s) - 1, 0), self.n_shots - 1)
        shot = self.shot(index)
        place = round((moment_s - shot.start_s - self._clip / 2) / self._stride)
        inside = min(max(shot.first_clip + place, shot.first_clip), shot.last_clip)
        return min(inside, shot.last_clip, key=lambda clip: self._distance(clip, moment_s))

    def _distance(self, clip_index: int, moment_s: Fraction) -> Fraction:
        start, end = self.span(clip_index)
        return abs((start + end) / 2 - moment_s)


@lru_cache(maxsize=32)
def shot_grid(spec: ClipSpec, line: Timeline) -> ShotGrid:
    """Lay the clips of a video on its shots; those of the last videos are kept."""
    return ShotGrid(spec, line)
