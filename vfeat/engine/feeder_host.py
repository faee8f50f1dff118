"""The inside of a feeder's process: one worker at a time, batches in the order of their numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vfeat.engine.feeding import Feeder, FeederSpec
from vfeat.engine.worker_protocol import Progress
from vfeat.errors import VfeatError

_SUMS = ("clips", "units", "run_s", "read_s", "decode_s", "blocked_s", "child_s")


@dataclass(frozen=True)
class Batch:
    """The answer to a pull.

    Attributes:
        content: None when nothing was ready in time.
        is_over: the feeder belongs to another worker.
    """

    content: Any = None
    is_over: bool = False


class FeederHost:
    """A feeder and its sessions; its methods are called from several threads.

    A session begins with a feeder without tasks, so that nothing of an earlier worker is left.
    """

    def __init__(self, spec: FeederSpec, cores: int) -> None:
        self._spec, self._cores = spec, cores
        self._feeder: Feeder = spec.build(cores)
        self._before = Progress()
        self._changed = threading.Condition()
        self._session = self._next = self._pulling = 0
        self._idle_since_s = time.monotonic()
        self._waited_s = 0.0
        self._failure: VfeatError | None = None

    def open(self, session: int) -> None:
        """Begin a session, unless a later one has begun; tasks of an earlier one are dropped."""
        with self._changed:
            if session <= self._session:
                return
            self._before = self.progress()
            old, self._feeder = self._feeder, self._spec.build(self._cores)
            self._session, self._next = session, 0
            self._changed.notify_all()
        old.close()

    def submit(self, session: int, tasks: Sequence[Any]) -> None:
        """Queue tasks of a session; those of an ended one are dropped."""
        with self._changed:
            if session == self._session:
                for task in tasks:
                    self._feeder.submit(task)

    def pull(self, session: int, number: int, max_bytes: int, timeout_s: float) -> Batch:
        """Return the batch of a number, from 0 without gaps, or an empty one after a time.

        Raises:
            VfeatError: this node cannot do such work; `progress` raises the same then.
        """
        with self._changed:
            gap_s = 0.0 if self._pulling else time.monotonic() - self._idle_since_s
            self._pulling += 1
            self._changed.wait_for(lambda: session != self._session or number == self._next)
            feeder = self._feeder if session == self._session else None
        try:
            content = None if feeder is None else self._take(feeder, gap_s, max_bytes, timeout_s)
        except VfeatError as error:
            self._failure = error
            raise
        finally:
            with self._changed:
                self._pulling -= 1
                self._idle_since_s = time.monotonic()
        with self._changed:
            if feeder is None or session != self._session:
                return Batch(is_over=True)
            self._next += 1
            self._changed.notify_all()
        return Batch(content)

    def _take(self, feeder: Feeder, gap_s: float, max_bytes: int, timeout_s: float) -> Any:
        content = feeder.next_batch(max_bytes, 0.0)
        if content is None:
            return feeder.next_batch(max_bytes, timeout_s)
        self._waited_s += gap_s  # it had waited for somebody to pull
        return content

    def progress(self) -> Progress:
        """Return the counters of all sessions; waits are those of results for a pull.

        Raises:
            VfeatError: this node cannot do such work at present.
        """
        if self._failure is not None:
            raise self._failure
        found, before = self._feeder.progress(), self._before
        sums = {name: getattr(before, name) + getattr(found, name) for name in _SUMS}
        return replace(found, **sums, wait_s=self._waited_s)

    def close(self) -> None:
        """End the feeder."""
        self._feeder.close()
