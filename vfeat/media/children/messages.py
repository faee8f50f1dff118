"""What a decoder child and its parent tell each other over their socket."""

from __future__ import annotations

from dataclasses import dataclass

from vfeat.errors import ErrorClass
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.outcome import RangeError, Split
from vfeat.video_facts import Probe


@dataclass(frozen=True)
class ChildConfig:
    """First message to a fresh child: everything that holds for its life.

    Attributes:
        slots: clips that fit the shared memory at once.
    """

    clip: ClipSpec
    frame: FrameSpec
    limits: DecodeLimits
    slots: int


@dataclass(frozen=True)
class FreeSlot:
    """Parent to child: the clip in this slot was released."""

    slot: int


@dataclass(frozen=True)
class Hello:
    """Child to parent: started, limits set, ready."""


@dataclass(frozen=True)
class Alive:
    """Child to parent: further than ever in its task. At least once a second while it is."""


@dataclass(frozen=True)
class GridLaid:
    """Child to parent: the video is open, and these clips of it are the task's.

    Attributes:
        last_clip: last clip of the task.
        split: what is left of the video, if it is longer than a unit.
    """

    probe: Probe
    last_clip: int
    split: Split | None


@dataclass(frozen=True)
class VideoChanged:
    """Child to parent: the object is no longer the one to be read; its clips do not count."""


@dataclass(frozen=True)
class NoRoom:
    """Child to parent: the machine, and not the video, ended the task."""

    message: str


@dataclass(frozen=True)
class ClipMade:
    """Child to parent: a clip's frames lie in the slot. Clips come in order."""

    clip_index: int
    start_s: float
    end_s: float
    slot: int
    partial: bool


@dataclass(frozen=True)
class RangeEmpty:
    """Child to parent: clips without a frame of their own."""

    first_clip: int
    last_clip: int


@dataclass(frozen=True)
class RangeFailed:
    """Child to parent: clips that cannot be made. Which attempt it is, the parent counts."""

    error: RangeError


@dataclass(frozen=True)
class DecodeDone:
    """Child to parent: every clip of the task is settled.

    Attributes:
        spent: the child should be replaced (it ran out of memory).
    """

    bad_packets: int
    frames_decoded: int
    decode_s: float
    warnings: tuple[str, ...]
    spent: bool = False


@dataclass(frozen=True)
class ProbeDone:
    """Child to parent: the answer to a probe task."""

    probe: Probe


@dataclass(frozen=True)
class ProbeFailed:
    """Child to parent: a probe task failed."""

    error_class: ErrorClass
    message: str
    spent: bool = False


FromChild = (
    Hello
    | Alive
    | GridLaid
    | VideoChanged
    | NoRoom
    | ClipMade
    | RangeEmpty
    | RangeFailed
    | DecodeDone
    | ProbeDone
    | ProbeFailed
)
