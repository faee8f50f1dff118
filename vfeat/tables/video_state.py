"""The fold of one video: all its outcomes together.

A fold can be stopped after any plan with its follow-up plans, stored, and gone on with later.
Clip ranges are inclusive pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from vfeat.outcome import Outcome, RangeError, subtract
from vfeat.plan.sequence_ref import LONGEST_GAP
from vfeat.video_facts import Probe

Ranges = list[tuple[int, int]]
Piece = tuple[str, int, int]  # file, first row, rows


@dataclass
class VideoState:
    """What is committed of one video.

    Attributes:
        video_id: 32 hex digits.
        size_bytes, etag: of the video; of a sequence 0 and empty.
        source: of the command that named it.
        extras: further columns of the list that named it, by their names there.
        duration_s: seconds, once the video was opened.
        grid: clips of its grid; None before it was opened.
        promised: clips up to the last one of a planned range.
        expected: estimated clips of a video that is planned as a whole.
        clips: rows.
        errors: what failed, and no later plan has settled.
        settled: clips with a row, an error, or rightly empty; sorted, joined.
        pieces: where the rows stand, in plan order.
        gaps: long runs of clips without rows, before the last row.
        rows_end: clip behind the last row.
        changed: the latest plan that has it found another object in its place.
        gone: the corpus has it no more.
        mended: a later plan brought rows for clips that had failed.
        groups: numbered plans that have the video.
    """

    video_id: str
    uri: str
    etag: str = ""
    size_bytes: int = 0
    source: str | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    duration_s: float | None = None
    grid: int | None = None
    promised: int = 0
    expected: int = 0
    clips: int = 0
    empty_clips: int = 0
    errors: list[RangeError] = field(default_factory=list)
    settled: Ranges = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    gaps: Ranges = field(default_factory=list)
    rows_end: int = 0
    changed: bool = False
    gone: bool = False
    mended: bool = False
    groups: list[int] = field(default_factory=list)

    @property
    def planned(self) -> int:
        """Clips of the video, as far as they are known."""
        end = self.settled[-1][1] + 1 if self.settled else 0
        if self.grid is not None:
            return max(self.grid, end)
        return max(self.promised, end) or self.expected

    @property
    def unsettled(self) -> Ranges:
        """Clips that are neither row nor error nor empty yet."""
        return subtract([(0, self.planned - 1)], self.settled) if self.planned else []

    def open(self, probe: Probe) -> None:
        """Take the grid; the first one stands, since rows were made by it."""
        if self.grid is None:
            self.grid, self.duration_s = probe.n_clips, probe.duration_s

    def add_group(self, group: int, outcomes: Iterable[Outcome], pieces: Iterable[Piece]) -> None:
        """Go on with the outcomes of a numbered plan and its follow-up plans, in their order."""
        self.groups.append(group)
        told = list(outcomes)
        if told:
            # A later plan has what is missing of a video whose old content returned.
            self.changed = any(outcome.changed for outcome in told)
        for outcome in told:
            self._add(outcome)
        self.pieces.extend(pieces)

    def _add(self, outcome: Outcome) -> None:
        if outcome.changed:
            return
        if outcome.probe is not None:
            self.open(outcome.probe)
        rows = outcome.row_ranges()
        span = (outcome.first_clip, outcome.last_clip)
        if self.errors:
            before = [(error.first_clip, error.last_clip) for error in self.errors]
            self.mended = self.mended or subtract(before, rows) != before
            self.errors = [left for error in self.errors for left in without(error, [span])]
        self.errors.extend(outcome.errors)
        self.clips += outcome.rows
        self.empty_clips += outcome.empty_clips
        self.settled = _joined(self.settled, span)
        for first, last in rows:
            self._add_rows(first, last)

    def _add_rows(self, first: int, last: int) -> None:
        if first >= self.rows_end:
            if first - self.rows_end > LONGEST_GAP:
                self.gaps.append((self.rows_end, first - 1))
        else:
            self.gaps = long_gaps(subtract(self.gaps, [(first, last)]))
        self.rows_end = max(self.rows_end, last + 1)


def without(error: RangeError, ranges: Iterable[tuple[int, int]]) -> list[RangeError]:
    """Subtract `ranges` (inclusive) from an error's clips; return the errors that are left."""
    left = subtract([(error.first_clip, error.last_clip)], ranges)
    return [replace(error, first_clip=a, last_clip=b) for a, b in left]


def long_gaps(ranges: Ranges) -> Ranges:
    """Return the ranges that a sequence shortens."""
    return [(first, last) for first, last in ranges if last - first + 1 > LONGEST_GAP]


def _joined(ranges: Ranges, added: tuple[int, int]) -> Ranges:
    """Return sorted ranges with another one, joined where they touch."""
    first, last = added
    if not ranges or first > ranges[-1][1] + 1:
        return [*ranges, added]
    apart = [pair for pair in ranges if pair[1] + 1 < first or pair[0] > last + 1]
    touching = [pair for pair in ranges if not (pair[1] + 1 < first or pair[0] > last + 1)]
    whole = (
        min(first, *(pair[0] for pair in touching)) if touching else first,
        max(last, *(pair[1] for pair in touching)) if touching else last,
    )
    return sorted([*apart, whole])
