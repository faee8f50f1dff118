"""Feeders of a worker: tasks that wait in its pool's queue are decoded on other nodes.

The events of such a task return to the pool's own events, so that whoever takes them does not know
where a clip was decoded. Children here and feeders take from the same queue, each when it has room,
and feeders no more than they can soon begin: one that joins late finds work, and one that is lost
holds little. A lost task goes back to the queue and is decoded again as a whole.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from vfeat.engine.feeding import Feed, FeedLost, Portion
from vfeat.engine.worker_protocol import Progress
from vfeat.extract.decode_feeder import DecodedBatch, FedClip
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, TaskDone

HOLD_S = 0.25
_LOSSES = 2  # a task that was lost so often stays here
_JOIN_S = 2.0


class FedPool:
    """The feeders of a pool; safe to use from several threads.

    Args:
        pool: the children of this node.
        children: of a feeder; None: one a core.
        counters: of the worker.
    """

    def __init__(self, pool: DecodePool, children: int | None, counters: Progress) -> None:
        self._pool, self._children, self._counters = pool, children, counters
        self._kept: set[int] = set()
        self._losses: Counter[int] = Counter()
        self._feeds: list[Feed] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @property
    def sessions(self) -> tuple[int, ...]:
        """Sessions of the feeders that work for this pool."""
        with self._lock:
            return tuple(feed.attachment.session for feed in self._feeds)

    def attach(self, feed: Feed) -> None:
        """Take work from a feeder until it is lost."""
        name = f"vfeat-feed-{feed.attachment.session}"
        thread = threading.Thread(target=self._serve, args=(feed,), name=name, daemon=True)
        with self._lock:
            self._feeds.append(feed)
            self._threads.append(thread)
        thread.start()

    def keep(self, task_id: int) -> None:
        """Let a task be decoded by the children of this node only; before it is submitted."""
        self._kept.add(task_id)

    def settled(self, task_id: int) -> None:
        """Forget a task that is done."""
        self._kept.discard(task_id)
        self._losses.pop(task_id, None)

    def close(self) -> None:
        """Let go of all feeders."""
        self._closed.set()
        with self._lock:
            feeds, threads = list(self._feeds), list(self._threads)
        for feed in feeds:
            feed.close()
        for thread in threads:
            thread.join(_JOIN_S)

    def _serve(self, feed: Feed) -> None:
        """Work with one feeder; body of its thread."""
        tasks: dict[int, DecodeTask] = {}
        children = self._children or feed.attachment.cores
        bound = children + max(2, children // 2)
        try:
            feed.open()
            while not self._closed.is_set():
                self._send(feed, tasks, bound)
                if tasks and (portion := feed.next_portion(HOLD_S)) is not None:
                    self._deliver(portion, tasks)
        except FeedLost:
            pass  # its end is the driver's matter
        finally:
            with self._lock:
                self._feeds.remove(feed)
            feed.close()
            self._give_back(tasks)

    def _send(self, feed: Feed, tasks: dict[int, DecodeTask], bound: int) -> None:
        """Send tasks that wait, up to the bound; wait for one when the feeder has none."""
        found: list[DecodeTask] = []
        while len(tasks) + len(found) < bound:
            task = self._pool.withdraw(0.0 if tasks or found else HOLD_S)
            if task is None:
                break
            if not isinstance(task, DecodeTask) or task.task_id in self._kept:
                self._pool.submit(task)
                time.sleep(HOLD_S / 10)  # a child here is to get it
                break
            found.append(task)
        if found:
            tasks.update((task.task_id, task) for task in found)
            feed.submit(found)

    def _deliver(self, portion: Portion, tasks: dict[int, DecodeTask]) -> None:
        batch: DecodedBatch | None = portion.batch
        if batch is None:
            portion.release()
            return
        clips = sum(isinstance(event, FedClip) for event in batch.events)
        countdown = _Countdown(portion, clips)
        with self._lock:
            self._counters.fed_clips += clips
        frames = iter(() if batch.frames is None else batch.frames)
        for event in batch.events:
            if isinstance(event, FedClip):
                self._pool.deliver(
                    ClipReady(
                        event.task_id, event.clip_index, event.start_s, event.end_s,
                        next(frames), countdown.ticket(),
                    )
                )  # fmt: skip
            else:
                self._finish(event, tasks.pop(event.task_id))

    def _finish(self, done: TaskDone, task: DecodeTask) -> None:
        """Deliver the end of a task, unless its failure may be the feeder's own."""
        unread = any(error.error_class == "storage" for error in done.outcome.errors)
        if unread or done.outcome.changed:
            # Another node may lack a mount or a way to the store: this one's word counts.
            self.keep(task.task_id)
            self._pool.submit(task)
        else:
            self._pool.deliver(done)

    def _give_back(self, tasks: dict[int, DecodeTask]) -> None:
        """Let others decode what was lost."""
        if self._closed.is_set():
            return
        for task in tasks.values():
            self._losses[task.task_id] += 1
            if self._losses[task.task_id] >= _LOSSES:
                self.keep(task.task_id)
            self._pool.submit(task)


class _Countdown:
    """Releases a portion with the last of its clips."""

    def __init__(self, portion: Portion, clips: int) -> None:
        self._portion, self._left = portion, clips
        self._lock = threading.Lock()
        if not clips:
            portion.release()

    def ticket(self) -> Callable[[], None]:
        """Return the release of one clip; it counts once."""
        once = threading.Lock()

        def release() -> None:
            if not once.acquire(blocking=False):
                return
            with self._lock:
                self._left -= 1
                is_last = self._left == 0
            if is_last:
                self._portion.release()

        return release
