"""The units of work of both stages, and the lease that carries them to a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from vfeat.errors import ErrorClass
from vfeat.media.children.task import Probe
from vfeat.plan.sequence_ref import SequenceRef


@dataclass(frozen=True)
class Unit:
    """A range of one video's clips; what is decoded, retried and blamed as a whole.

    Attributes:
        first_clip, last_clip: inclusive clip indices.
        cost_s: estimated work, seconds of one worker.
        probe: the look at the file; None when that ended with an error.
        error_class, message: set when planning already found that the video cannot be read:
            such a unit is not decoded again, its error row is written with the shard.
    """

    video_id: str
    uri: str
    size_bytes: int
    etag: str
    first_clip: int
    last_clip: int
    cost_s: float
    probe: Probe | None
    error_class: ErrorClass | None = None
    message: str | None = None
    attempts: int = 0

    @property
    def clips(self) -> int:
        """Number of planned clips, empty ones included."""
        return self.last_clip - self.first_clip + 1

    @property
    def key(self) -> str:
        """Name within a plan."""
        return f"{self.video_id}:{self.first_clip}"


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
    """

    shard: str
    units: tuple[AnyUnit, ...]
    alone: int | None = None
    again: bool = False

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


@dataclass(frozen=True)
class Planned:
    """A video on its way into a plan: its record, and its probe or its failure."""

    video_id: str
    uri: str
    size_bytes: int
    etag: str
    extra: dict[str, Any]
    probe: Probe | None
    error_class: ErrorClass | None = None
    message: str | None = None
    attempts: int = 0
    first_clip: int = 0
    last_clip: int | None = None
