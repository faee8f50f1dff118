"""A pool of decoder children: tasks in, events out, in bounded memory.

One thread of the parent per child (`worker`), each child in its own process (`child`).
"""

from __future__ import annotations

import queue
import threading
from types import TracebackType

from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.child_process import ChildStats
from vfeat.media.children.messages import ChildConfig, DeviceShare
from vfeat.media.children.supervisor import Worker
from vfeat.media.children.task import Event, Task
from vfeat.media.decoders.base import check_decoder

_JOIN_S = 10.0


class DecodePool:
    """Decoder children under one recipe; a context manager, safe to use from threads."""

    def __init__(
        self,
        clip: ClipSpec,
        frame: FrameSpec,
        limits: DecodeLimits,
        workers: int,
        slots_per_child: int = 4,
        *,
        bounded: bool = True,
        device: str | None = None,
    ) -> None:
        """Start the threads; each starts its child when its first task comes.

        Args:
            workers: children; one per core that decodes.
            slots_per_child: clips that a child may be ahead of the consumer.
            bounded: children are a boundary. False only for a measurement of what that costs.
            device: `module:class` of the device that decodes where the recipe's decoder can use
                one; clips are then tensors in its memory. None: the CPU decodes.

        Raises:
            JobError, EnvironmentMissing: the recipe's decoder is not to be had.
        """
        check_decoder(frame.decoder)
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._closed = threading.Event()
        share = None if device is None else DeviceShare(device)
        config = ChildConfig(clip, frame, limits, slots_per_child, bounded, share)
        self._workers = [
            Worker(config, self._tasks, self._events, self._closed) for _ in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def submit(self, task: Task) -> None:
        """Queue a task; tasks begin in this order. Never blocks."""
        if self._closed.is_set():
            raise RuntimeError("the decoder pool is closed")
        self._tasks.put(task)

    def next_event(self, timeout_s: float | None = None) -> Event | None:
        """Return the next event of any task, or None after `timeout_s` seconds without one.

        A task's clips come in order and before its TaskDone. ClipReady.release() must
        be called, or the child waits for ever.
        """
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def withdraw(self, timeout_s: float) -> Task | None:
        """Take back a task that no child has begun, to be decoded elsewhere.

        Its events are due by `deliver`, unless it is submitted again.

        Returns:
            None after `timeout_s` seconds without such a task.
        """
        try:
            task = self._tasks.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if task is None:  # the end of a child's thread
            self._tasks.put(None)
        return task

    def deliver(self, event: Event) -> None:
        """Queue an event of a task that was withdrawn."""
        self._events.put(event)

    @property
    def children(self) -> int:
        """Number of children, those included that have not started."""
        return len(self._workers)

    def could_work_s(self, seconds: float) -> float:
        """Return how long all children could have worked in some time, their starts left out."""
        starting_s = sum(worker.starting_s for worker in self._workers)
        return max(0.0, seconds * self.children - starting_s)

    def stats(self) -> tuple[ChildStats, ...]:
        """Return memory and work of the children that live now."""
        children = (worker.child for worker in self._workers)
        return tuple(child.stats() for child in children if child is not None)

    def close(self) -> None:
        """Kill all children and drop all tasks. Frames already given out stay valid."""
        if self._closed.is_set():
            return
        self._closed.set()
        for worker in self._workers:
            self._tasks.put(None)
            if (child := worker.child) is not None:
                child.kill()
        for worker in self._workers:
            worker.join(_JOIN_S)
