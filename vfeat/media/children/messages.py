"""The messages between a decoder child and its parent; `wire` gives them their bytes."""

from __future__ import annotations

from dataclasses import dataclass

from vfeat.errors import ErrorClass
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.sandbox.enter import Measure
from vfeat.outcome import RangeError
from vfeat.video_facts import Probe


@dataclass(frozen=True)
class DeviceShare:
    """Part of a child's configuration: the device that it decodes with.

    Attributes:
        name: `module:class` of the device.
        handle: opens the device's memory for clips, hexadecimal.
        guarded: Landlock and the limit of memory hold before the device's driver starts. False
            where it does not start so: the parent alone limits the memory.
    """

    name: str
    handle: str = ""
    guarded: bool = True


@dataclass(frozen=True)
class ChildConfig:
    """First message to a fresh child: everything that holds for its life.

    Attributes:
        slots: clips that fit the shared memory at once.
        bounded: the child enters the sandbox and has the bytes of its videos from its parent.
        device: its clips lie in the memory of this device; None: in main memory.
    """

    clip: ClipSpec
    frame: FrameSpec
    limits: DecodeLimits
    slots: int
    bounded: bool = True
    device: DeviceShare | None = None


@dataclass(frozen=True)
class FreeSlot:
    """Parent to child: the clip in this slot was released."""

    slot: int


@dataclass(frozen=True)
class Hello:
    """Child to parent: started, in its sandbox, ready.

    Attributes:
        measures: of the sandbox, each with the reason why it does not hold on this machine.
        device_failure: why its device cannot be used; empty if it can, or if it has none.
    """

    measures: tuple[Measure, ...] = ()
    device_failure: str = ""


@dataclass(frozen=True)
class Alive:
    """Child to parent: further than ever in its task. At least once a second while it is."""


@dataclass(frozen=True)
class GridLaid:
    """Child to parent: the video is open. Which of its clips are the task's follows from both."""

    probe: Probe


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
        decode_s: without `read_s` and `blocked_s`.
        spent: the child should be replaced (it ran out of memory).
        read_s: seconds of waiting for bytes of the video.
        blocked_s: seconds of waiting for a free slot.
    """

    bad_packets: int
    frames_decoded: int
    decode_s: float
    warnings: tuple[str, ...]
    spent: bool = False
    read_s: float = 0.0
    blocked_s: float = 0.0


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
    | ClipMade
    | RangeEmpty
    | RangeFailed
    | DecodeDone
    | ProbeDone
    | ProbeFailed
)


class BrokenProtocol(Exception):
    """A message that the child must not send: malformed, out of its turn or out of its task."""
