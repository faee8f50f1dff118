"""The result of one unit of work: what was written of it, what is empty and what failed.

Clip ranges are inclusive pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vfeat.addresses import public, redacted
from vfeat.errors import ErrorClass
from vfeat.video_facts import Probe

# In the warnings of videos that a recipe's decoder does not take; counted by these words.
FALLBACK = "decoded with PyAV instead of"


def subtract(
    ranges: list[tuple[int, int]], holes: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return inclusive ranges without the clips of `holes`."""
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
    """A range of clips that could not be made, and the reason, in which addresses are public."""

    first_clip: int
    last_clip: int
    error_class: ErrorClass
    message: str
    attempts: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", redacted(self.message))

    @property
    def clips(self) -> int:
        """Number of clips in the range."""
        return self.last_clip - self.first_clip + 1


@dataclass(frozen=True)
class Split:
    """The rest of a video that turned out longer than a unit: it begins behind the outcome.

    The follow-up plan of the shard holds it; that plan follows from these numbers alone.

    Attributes:
        last_clip: last clip of the video's grid.
        unit_clips: clips of a unit.
        shard_units: units of a shard.
    """

    last_clip: int
    unit_clips: int
    shard_units: int = 5


@dataclass(frozen=True)
class Outcome:
    """Result of one unit.

    Attributes:
        uri: public address of the video.
        rows: clips written; of a decoder's result, clips that it emitted.
        empty: ranges of clips in which no frame begins; planned, and rightly not written.
        errors: ranges of clips that failed; rows + empty + errors make up the unit.
        bad_packets: damaged packets skipped; the rows beside them are still whole clips.
        warnings: for the run's report, one sentence each.
        probe: of the unit that opened the video and laid its grid.
        split: what is left of the video, if it was longer than a unit.
        changed: the object is no longer the one that was planned. Nothing was written: the new
            content is another video.
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
    probe: Probe | None = None
    split: Split | None = None
    changed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "uri", public(self.uri))
        if self.warnings:
            object.__setattr__(self, "warnings", tuple(map(redacted, self.warnings)))

    @property
    def fell_back(self) -> bool:
        """True for the first unit of a video that PyAV decoded instead of the recipe's decoder."""
        return self.first_clip == 0 and any(FALLBACK in text for text in self.warnings)

    @property
    def planned(self) -> int:
        """Number of clips of the unit."""
        return 0 if self.changed else self.last_clip - self.first_clip + 1

    @property
    def empty_clips(self) -> int:
        """Number of clips in the empty ranges."""
        return sum(last - first + 1 for first, last in self.empty)

    @property
    def error_clips(self) -> int:
        """Number of clips in the failed ranges."""
        return sum(error.clips for error in self.errors)

    def row_ranges(self) -> list[tuple[int, int]]:
        """Return the clips that must have rows: the unit without its empty and failed clips."""
        if self.changed:
            return []
        holes = [*self.empty, *((e.first_clip, e.last_clip) for e in self.errors)]
        return subtract([(self.first_clip, self.last_clip)], holes)

    def after(self, attempts: int) -> Outcome:
        """Return the outcome with so many earlier attempts counted in its errors."""
        if not attempts or not self.errors:
            return self
        errors = tuple(replace(error, attempts=error.attempts + attempts) for error in self.errors)
        return replace(self, errors=errors)

    @property
    def failed(self) -> bool:
        """True when no clip of the unit was written although some failed."""
        return bool(self.errors) and self.rows == 0
