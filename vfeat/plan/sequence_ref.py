"""Reference to one video's stored features: the unit of work of stage two."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

# A longer run of clips without rows counts as so many steps: a clock that jumps by years
# would otherwise make a sequence of a billion steps.
LONGEST_GAP = 1000


@dataclass(frozen=True)
class Fold:
    """A long gap of a video, of which a sequence keeps only the first steps.

    Attributes:
        position: step of the sequence at which clips are left out.
        clips: how many are left out there.
    """

    position: int
    clips: int


@dataclass(frozen=True)
class SequenceRef:
    """One video's rows in a features dataset; small enough to plan with.

    Attributes:
        clips: length of its sequence: planned clips of the video without those folded away.
        rows: clips that are there; the others are empty or failed, and masked.
        duration_s: length of the video, seconds; None if it never could be read.
        pieces: (key of a features file, first row, rows), in plan order.
        folds: long gaps, in order.
    """

    video_id: str
    uri: str
    clips: int
    rows: int
    duration_s: float | None
    pieces: tuple[tuple[str, int, int], ...]
    folds: tuple[Fold, ...] = ()

    @cached_property
    def _folded(self) -> tuple[list[int], list[int]]:
        """Positions of the folds, and the clips left out up to each."""
        total, totals = 0, [0]
        for fold in self.folds:
            total += fold.clips
            totals.append(total)
        return [fold.position for fold in self.folds], totals

    def left_out(self, position: int) -> int:
        """Count the clips that are left out before a step: its clip index minus `position`."""
        positions, totals = self._folded
        return totals[bisect_right(positions, position)]


def fold_gaps(clips: int, row_ranges: Iterable[tuple[int, int]]) -> tuple[int, tuple[Fold, ...]]:
    """Shorten the long runs of clips without rows.

    Args:
        clips: planned clips of a video.
        row_ranges: inclusive ranges of clips that have rows, in any order.

    Returns:
        The length of the sequence in steps, and its folds.
    """
    folds: list[Fold] = []
    out = end = 0
    for first, last in sorted([*row_ranges, (clips, clips)]):
        if (extra := first - end - LONGEST_GAP) > 0:
            folds.append(Fold(end + LONGEST_GAP - out, extra))
            out += extra
        end = max(end, last + 1)
    return clips - out, tuple(folds)
