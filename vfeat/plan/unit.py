"""The units of work of both stages, and the lease that carries them to a worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from vfeat.errors import ErrorClass
from vfeat.outcome import Outcome, RangeError
from vfeat.plan.sequence_ref import SequenceRef
from vfeat.video_facts import Probe


@dataclass(frozen=True)
class Unit:
    """A range of one video's clips; what is decoded, retried and blamed as a whole.

    A plan makes no promise about a video's content. The unit of a whole video has no last clip:
    the child that opens the video lays its grid, and leaves what is more than `unit_clips` to the
    follow-up plan of the shard.

    Attributes:
        first_clip, last_clip: inclusive clip indices; `last_clip` None for the whole video.
        cost_s: estimated work, seconds of one worker.
        probe: the look at the file, if another unit opened it; None: the child lays the grid.
        source: the source of the command that named the video; None in plans of older versions.
        unit_clips: clips from which on a whole video is split; None: it is not.
        expected: estimated number of clips, of a whole video.
        has_secret: the uri alone may not open it: the address has a part that no plan holds.
        error_class, message: set when the listing already found that the video cannot be read:
            such a unit is not decoded, its error row is written with the shard.
        address: the full address, in memory only; None where the uri is all of it, or nothing else
            is known.
    """

    video_id: str
    uri: str
    size_bytes: int
    etag: str
    first_clip: int
    last_clip: int | None
    cost_s: float
    probe: Probe | None = None
    source: str | None = None
    unit_clips: int | None = None
    expected: int = 1
    error_class: ErrorClass | None = None
    message: str | None = None
    attempts: int = 0
    has_secret: bool = False
    address: str | None = field(default=None, repr=False, compare=False)

    @property
    def read_from(self) -> str:
        """The address that opens the video; not to be stored, logged or shown."""
        return self.address or self.uri

    @property
    def clips(self) -> int:
        """Number of clips, empty ones included; of a whole video, estimated."""
        return self.expected if self.last_clip is None else self.last_clip - self.first_clip + 1

    @property
    def key(self) -> str:
        """Name within a plan."""
        return f"{self.video_id}:{self.first_clip}"

    def failure(self, error_class: ErrorClass, message: str, attempts: int = 1) -> Outcome:
        """Make the outcome of a unit of which nothing came; its first clip stands for a whole."""
        return _failed(self, error_class, message, attempts)

    def changed(self) -> Outcome:
        """Make the outcome of a unit whose object is no longer the one that was planned."""
        last = self.first_clip if self.last_clip is None else self.last_clip
        return Outcome(self.video_id, self.uri, self.first_clip, last, 0, changed=True)


@dataclass(frozen=True)
class SequenceUnit:
    """One video's stored features; classified, retried and blamed as a whole.

    To the engine and in a footer's outcomes a prediction counts as a clip.

    Attributes:
        ref: the rows of the video in the features dataset.
        predictions: rows that the video will have, windows without a clip included.
        cost_s: estimated work, seconds of one worker.
    """

    ref: SequenceRef
    predictions: int
    cost_s: float

    @property
    def video_id(self) -> str:
        """32 hex digits, as in the features."""
        return self.ref.video_id

    @property
    def uri(self) -> str:
        """URI of the video, as in the features."""
        return self.ref.uri

    @property
    def attempts(self) -> int:
        """Earlier attempts: 0, since what failed is classified again as part of its shard."""
        return 0

    @property
    def first_clip(self) -> int:
        """Index of the first prediction: 0."""
        return 0

    @property
    def last_clip(self) -> int:
        """Index of the last prediction, inclusive."""
        return self.predictions - 1

    @property
    def clips(self) -> int:
        """Planned predictions."""
        return self.predictions

    @property
    def key(self) -> str:
        """Name within a plan."""
        return f"{self.video_id}:{self.first_clip}"

    def failure(self, error_class: ErrorClass, message: str, attempts: int = 1) -> Outcome:
        """Make the outcome of a unit of which nothing came."""
        return _failed(self, error_class, message, attempts)


def _failed(
    unit: Unit | SequenceUnit, error_class: ErrorClass, message: str, attempts: int
) -> Outcome:
    last = unit.first_clip if unit.last_clip is None else unit.last_clip
    error = RangeError(unit.first_clip, last, error_class, message, attempts)
    return Outcome(unit.video_id, unit.uri, unit.first_clip, last, 0, errors=(error,))


AnyUnit = Unit | SequenceUnit
U = TypeVar("U", bound=AnyUnit)


@dataclass(frozen=True)
class Lease:
    """One shard handed to a worker.

    Attributes:
        shard: `<plan>-<number>`, the name of the file to publish.
        alone: the unit at this place runs by itself and nothing is published: the shard has
            killed workers, and the engine must find out which unit does.
        again: the shard is committed, and these of its units are done again: the file is
            replaced in one step by one with the same keys.
        avoid: names of nodes on which its units have failed; used only where there are others.
    """

    shard: str
    units: tuple[AnyUnit, ...]
    alone: int | None = None
    again: bool = False
    avoid: frozenset[str] = frozenset()

    def to_do(self, kind: type[U]) -> tuple[U, ...]:
        """Return the units to run, which must be of the stage's type: all, or the one alone."""
        units = self.units if self.alone is None else (self.units[self.alone],)
        found = tuple(unit for unit in units if isinstance(unit, kind))
        assert len(found) == len(units), f"{self.shard} holds units of another stage"
        return found

    @property
    def cost_s(self) -> float:
        return sum(unit.cost_s for unit in self.units)

    @property
    def clips(self) -> int:
        return sum(unit.clips for unit in self.units)
