"""Feeders as Ray actors, and a worker's end of the connection to one.

A batch lies in the object store of the feeder's node. Ray brings it to the worker's node, where
its arrays are read in place; on one node it is not copied at all.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vfeat.engine.feeder_host import Batch, FeederHost
from vfeat.engine.feeding import Attachment, FeedLost, Portion
from vfeat.engine.machines import FeederSetup
from vfeat.engine.preflight import check_versions, versions
from vfeat.engine.worker_protocol import Progress

PULL_S = 0.25  # a pull that finds nothing ends after so long
_OTHER_CALLS = 5  # at once, besides pulls: set up, begin, submit, counters, and one to spare


class _Feeder:
    """A feeder inside a Ray actor."""

    def setup(self, driver: dict[str, str], pickled: bytes) -> int:
        check_versions(driver)  # before anything of another version is unpickled
        setup: FeederSetup = ray.cloudpickle.loads(pickled)
        self.host = FeederHost(setup.spec, setup.cpus)
        return os.getpid()

    def open(self, session: int) -> None:
        self.host.open(session)

    def submit(self, session: int, tasks: Sequence[Any]) -> None:
        self.host.submit(session, tasks)

    def pull(self, session: int, number: int, max_bytes: int) -> Batch:
        return self.host.pull(session, number, max_bytes, PULL_S)

    def progress(self) -> Progress:
        return self.host.progress()


def start_feeder(node: str, setup: FeederSetup) -> tuple[Any, Any]:
    """Start a feeder on a node; return its handle, and the call that ends when it is set up."""
    actor = ray.remote(_Feeder).options(
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=setup.pulls + _OTHER_CALLS,
        num_cpus=setup.cpus,
        memory=setup.memory_bytes or None,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )
    handle = actor.remote()
    return handle, handle.setup.remote(versions(), ray.cloudpickle.dumps(setup))


class RayFeed:
    """A worker's end of its connection to a feeder that is a Ray actor."""

    def __init__(self, handle: Any, attachment: Attachment) -> None:
        self.attachment = attachment
        self._handle = handle
        self._numbers = count()
        self._pulls: deque[Any] = deque()
        self._changed = threading.Condition()
        self._is_closed = False

    def open(self) -> None:
        try:
            ray.get(self._handle.open.remote(self.attachment.session))
        except RayError as error:
            raise FeedLost(str(error)) from error
        for _ in range(self.attachment.credits.pulls):
            self._pull()

    def submit(self, tasks: Sequence[Any]) -> None:
        # Nothing waits for it: that a feeder is lost shows in the pulls.
        self._handle.submit.remote(self.attachment.session, tasks)

    def next_portion(self, timeout_s: float) -> Portion | None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._pulls, timeout_s):
                return None
            first = self._pulls[0]
        if not ray.wait([first], timeout=timeout_s)[0]:
            return None
        try:
            batch: Batch = ray.get(first)
        except RayError as error:
            raise FeedLost(str(error)) from error
        if batch.is_over:
            raise FeedLost("the feeder belongs to another worker")
        with self._changed:
            self._pulls.popleft()
        return Portion(batch.content, self._pull)

    def _pull(self) -> None:
        """Ask for a batch: pulls end in the order of their numbers."""
        credits = self.attachment.credits
        with self._changed:
            if not self._is_closed:
                call = self._handle.pull.remote(
                    self.attachment.session, next(self._numbers), credits.batch_bytes
                )
                self._pulls.append(call)
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._pulls.clear()
