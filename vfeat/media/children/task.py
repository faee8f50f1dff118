"""What crosses between the engine and decoder children: tasks in, events out.

Clip ranges are inclusive at both ends, everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfeat.errors import ErrorClass
from vfeat.media.decoders.base import Pixels
from vfeat.outcome import Outcome
from vfeat.video_facts import Probe, Timeline


@dataclass(frozen=True)
class ProbeTask:
    """Look at one video.

    Attributes:
        task_id: the caller's own; comes back in every event.
        uri: an absolute path, or any URI that the storage layer opens.
        size_bytes: if known; remote files need it to be spooled.
    """

    task_id: int
    uri: str
    size_bytes: int | None = None


@dataclass(frozen=True)
class DecodeTask:
    """Make the clips first_clip..last_clip of one video.

    Attributes:
        task_id: the caller's own; comes back in every event.
        video_id: the caller's own; comes back in the outcome.
        timeline: from the video's probe; None: the child lays the grid first.
        last_clip: None for the last one of the grid.
        unit_clips: a longer grid is split: the outcome holds what is left. None: it is not.
        etag: of the content that is to be read; None for whatever is there.
    """

    task_id: int
    video_id: str
    uri: str
    size_bytes: int | None
    timeline: Timeline | None
    first_clip: int
    last_clip: int | None
    unit_clips: int | None = None
    etag: str | None = None


Task = ProbeTask | DecodeTask


@dataclass(frozen=True)
class Probed:
    """A probe task is done."""

    task_id: int
    probe: Probe


@dataclass(frozen=True, eq=False)
class ClipReady:
    """One clip, in memory that its child will use again.

    Attributes:
        start_s, end_s: the clip's window, seconds from the first presented frame.
        frames: uint8 VTHWC [crops, num_frames, size, size, 3], to be read only and until
            `release()`; an array, or a tensor on the device that decoded.
        release: call once the frames are copied or used, of a tensor once the device has done so;
            more often does no harm.
    """

    task_id: int
    clip_index: int
    start_s: float
    end_s: float
    frames: Pixels
    release: Callable[[], None]

    @property
    def array(self) -> npt.NDArray[np.uint8]:
        """The frames of a pool without a device."""
        assert isinstance(self.frames, np.ndarray)
        return self.frames


@dataclass(frozen=True)
class TaskDone:
    """A decode task is done; all its clips came before.

    Attributes:
        outcome: rows + empty + errors are all clips of the task.
        partial: some emitted clip lacks frames that the video promises.
        frames_decoded: frames that came out of the decoder, used or not.
        decode_s: seconds in decoding children; `read_s` and `blocked_s` are no part of it.
        no_room: why this machine could not do it, if that was the reason; the outcome counts
            for nothing then.
        read_s: seconds in which they waited for bytes of the video.
        blocked_s: seconds in which they waited for free slots.
    """

    task_id: int
    outcome: Outcome
    partial: bool
    frames_decoded: int
    decode_s: float
    no_room: str | None = None
    read_s: float = 0.0
    blocked_s: float = 0.0


@dataclass(frozen=True)
class TaskFailed:
    """A probe task failed."""

    task_id: int
    error_class: ErrorClass
    message: str
    attempts: int = 1


Event = Probed | ClipReady | TaskDone | TaskFailed
