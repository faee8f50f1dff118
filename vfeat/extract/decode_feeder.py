"""A pool of decoder children on a node without an encoder, and the batches that leave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vfeat.engine.work_clock import WorkClock
from vfeat.engine.worker_protocol import Progress
from vfeat.errors import MachineFull, StorageError
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, TaskDone

STORAGE_FAILURES = 8  # in a row, with nothing decoded between: it is the node, or the store


@dataclass(frozen=True)
class FedClip:
    """A clip; its frames are the next ones of the batch."""

    task_id: int
    clip_index: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class DecodedBatch:
    """Events in their order, and the frames of their clips in one array.

    Attributes:
        frames: uint8 [clips, V, T, S, S, 3]; None without a clip.
    """

    events: tuple[FedClip | TaskDone, ...]
    frames: npt.NDArray[np.uint8] | None


class DecodeFeeder:
    """Feeder that decodes; see `vfeat.engine.feeding.Feeder`."""

    def __init__(self, pool: DecodePool) -> None:
        self._pool = pool
        self._counters = Progress()
        self._clock = WorkClock()
        self._failures = 0

    def submit(self, task: Any) -> None:
        self._clock.begin()
        self._pool.submit(task)

    def next_batch(self, max_bytes: int, timeout_s: float) -> DecodedBatch | None:
        """Return what the children have ready; a batch has at least one event.

        Raises:
            MachineFull: a task found this node's disk or its table of open files full.
            StorageError: nothing can be read from here.
        """
        event = self._pool.next_event(timeout_s)
        events: list[FedClip | TaskDone] = []
        clips: list[ClipReady] = []
        while event is not None:
            if isinstance(event, ClipReady):
                clips.append(event)
                events.append(FedClip(event.task_id, event.clip_index, event.start_s, event.end_s))
                if (len(clips) + 1) * event.frames.nbytes > max_bytes:
                    break
            elif isinstance(event, TaskDone):
                self._look_at(event)
                events.append(event)
            event = self._pool.next_event(0.0)
        frames = np.stack([clip.frames for clip in clips]) if clips else None
        for clip in clips:
            clip.release()
        self._counters.clips += len(clips)
        return DecodedBatch(tuple(events), frames) if events else None

    def _look_at(self, done: TaskDone) -> None:
        self._clock.end()
        self._counters.units += 1
        self._counters.read_s += done.read_s
        self._counters.decode_s += done.decode_s
        self._counters.blocked_s += done.blocked_s
        if done.no_room is not None:
            raise MachineFull(done.no_room)
        failed = [error for error in done.outcome.errors if error.error_class == "storage"]
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= STORAGE_FAILURES:
            raise StorageError(
                f"{self._failures} videos in a row cannot be read, the last one: "
                f"{failed[0].message}"
            )

    def progress(self) -> Progress:
        children = self._pool.stats()
        self._counters.run_s = self._clock.seconds
        self._counters.children = self._pool.children
        self._counters.child_s = self._pool.could_work_s(self._counters.run_s)
        self._counters.child_pids = tuple(child.pid for child in children)
        self._counters.child_rss_bytes = sum(child.rss_bytes for child in children)
        return self._counters

    def close(self) -> None:
        self._pool.close()
