"""A decoder pool that decodes nothing: clips of noise, ready at once."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np

from vfeat.media.children.child_process import ChildStats
from vfeat.media.children.task import ClipReady, DecodeTask, Event, Task, TaskDone
from vfeat.outcome import Outcome

RING = 64  # different clips, more than any processor's cache holds


class NullPool:
    """Pool with the calls that an extract worker makes; see `vfeat.media.children.pool`.

    Attributes:
        children: none.

    Args:
        shape: of a clip, VTSSC.
    """

    children = 0

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._ring = np.random.default_rng(0).integers(256, size=(RING, *shape), dtype=np.uint8)
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._events: Iterator[Event] = iter(())

    def submit(self, task: Task) -> None:
        self._tasks.put(task)

    def next_event(self, timeout_s: float | None = None) -> Event | None:
        event = next(self._events, None)
        if event is not None:
            return event
        try:
            task = self._tasks.get(timeout=timeout_s)
        except queue.Empty:
            return None
        assert isinstance(task, DecodeTask)
        self._events = self._clips(task)
        return next(self._events)

    def _clips(self, task: DecodeTask) -> Iterator[Event]:
        first, last = task.first_clip, task.last_clip
        assert last is not None
        for clip in range(first, last + 1):
            frames = self._ring[clip % RING]
            yield ClipReady(task.task_id, clip, float(clip), clip + 1.0, frames, lambda: None)
        rows = last - first + 1
        outcome = Outcome(task.video_id, task.uri, first, last, rows)
        yield TaskDone(task.task_id, outcome, False, 0, 0.0)

    def withdraw(self, timeout_s: float) -> Task | None:
        return None

    def deliver(self, event: Event) -> None:
        raise AssertionError("nothing was withdrawn")

    def could_work_s(self, seconds: float) -> float:
        return 0.0

    def stats(self) -> tuple[ChildStats, ...]:
        return ()

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the null pool has no {name}; a worker asks for more than before")
