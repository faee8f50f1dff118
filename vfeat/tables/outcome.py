"""What became of each unit of a shard, kept in the footer of the shard's file.

Rows and errors commit together because they are one file. Clip ranges are inclusive pairs.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass

from vfeat.errors import ErrorClass

OUTCOMES_KEY = b"vfeat.outcomes"
RECIPE_KEY = b"vfeat.recipe"
UNITS_KEY = b"vfeat.units_of_measure"


def subtract(
    ranges: list[tuple[int, int]], holes: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Inclusive ranges without the clips of `holes`."""
    for first, last in holes:
        ranges = [
            piece
            for a, b in ranges
            for piece in ((a, min(b, first - 1)), (max(a, last + 1), b))
            if piece[0] <= piece[1]
        ]
    return ranges


@dataclass(frozen=True)
class RangeError:
    """Clips that could not be had, and why."""

    first_clip: int
    last_clip: int
    error_class: ErrorClass
    message: str
    attempts: int

    @property
    def clips(self) -> int:
        return self.last_clip - self.first_clip + 1


@dataclass(frozen=True)
class Outcome:
    """One unit's result.

    Attributes:
        rows: clips written.
        empty: ranges of clips in which no frame begins; planned, and rightly not written.
        errors: ranges of clips that failed; rows + empty + errors make up the unit.
        bad_packets: damaged packets skipped; the rows beside them are still whole clips.
        warnings: what a person might want to know, one sentence each.
    """

    video_id: str
    uri: str
    first_clip: int
    last_clip: int
    rows: int
    empty: tuple[tuple[int, int], ...] = ()
    errors: tuple[RangeError, ...] = ()
    bad_packets: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def planned(self) -> int:
        return self.last_clip - self.first_clip + 1

    @property
    def empty_clips(self) -> int:
        return sum(last - first + 1 for first, last in self.empty)

    @property
    def error_clips(self) -> int:
        return sum(error.clips for error in self.errors)

    def row_ranges(self) -> list[tuple[int, int]]:
        """Clips that must have rows: the unit without its empty and failed clips."""
        holes = [*self.empty, *((e.first_clip, e.last_clip) for e in self.errors)]
        return subtract([(self.first_clip, self.last_clip)], holes)

    @property
    def failed(self) -> bool:
        """Nothing of the unit was written, and not because it is empty."""
        return bool(self.errors) and self.rows == 0


def row_spans(outcomes: Iterable[Outcome]) -> dict[str, tuple[int, int]]:
    """First row and number of rows of each video in a file, which is sorted by video."""
    rows: dict[str, int] = {}
    for outcome in outcomes:
        rows[outcome.video_id] = rows.get(outcome.video_id, 0) + outcome.rows
    spans, place = {}, 0
    for video_id in sorted(rows):
        spans[video_id] = (place, rows[video_id])
        place += rows[video_id]
    return spans


def dump_outcomes(outcomes: Iterable[Outcome]) -> bytes:
    return json.dumps([dataclasses.asdict(o) for o in outcomes], ensure_ascii=False).encode()


def load_outcomes(data: bytes) -> list[Outcome]:
    return [
        Outcome(
            **{
                **fields,
                "empty": tuple((first, last) for first, last in fields["empty"]),
                "errors": tuple(RangeError(**error) for error in fields["errors"]),
                "warnings": tuple(fields["warnings"]),
            }
        )
        for fields in json.loads(data)
    ]
