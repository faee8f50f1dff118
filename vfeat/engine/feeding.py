"""Interfaces of feeders: processes on other nodes that prepare what a worker needs.

A feeder belongs to one worker at a time. The worker sends it tasks and pulls batches of results;
what tasks and results are is the stage's own. Whatever a feeder had in hand when it was lost, the
worker gives to others: a feeder is no part of any result, and no unit is blamed for its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from vfeat.engine.worker_protocol import Progress


@dataclass(frozen=True)
class Credits:
    """Bounds of what is under way from one feeder to its worker.

    Attributes:
        pulls: batches that are asked for, or come and not used up.
        batch_bytes: size of a batch; a single result that is larger is a batch of its own.
    """

    pulls: int = 2
    batch_bytes: int = 32 << 20


@dataclass(frozen=True)
class Attachment:
    """Feeder and worker for as long as they belong together.

    Attributes:
        session: number that grows with every attachment of a run.
        cores: of the feeder.
    """

    session: int
    cores: int
    credits: Credits


class Feeder(Protocol):
    """What prepares results on a node; safe to use from several threads."""

    def submit(self, task: Any) -> None:
        """Queue a task; never blocks."""
        ...

    def next_batch(self, max_bytes: int, timeout_s: float) -> Any | None:
        """Return what is ready, in order, or None after a time without anything.

        Raises:
            VfeatError: this node cannot do such work at present.
        """
        ...

    def progress(self) -> Progress:
        """Return the counters since the start; clips are those that were prepared."""
        ...

    def close(self) -> None: ...


class FeederSpec(Protocol):
    """Description of a feeder; pickles."""

    def build(self, cores: int) -> Feeder:
        """Make the feeder where it is to be.

        Args:
            cores: of its machine, for its threads and processes.
        """
        ...

    def memory_bytes(self, cores: int) -> int:
        """Return the memory that it is expected to need."""
        ...


@runtime_checkable
class FedSpec(Protocol):
    """Description of a worker that feeders can help; a WorkerSpec besides."""

    def feeder(self) -> FeederSpec:
        """Return the description of a feeder."""
        ...

    def memory_bytes(self, cores: int) -> int:
        """Return the memory that the worker is expected to need."""
        ...


class FeedLost(Exception):
    """Error: nothing comes from a feeder any more: it ended, or belongs to another worker."""


@dataclass(frozen=True)
class Portion:
    """A batch that came from a feeder.

    Attributes:
        batch: what the feeder's `next_batch` returned; None for nothing.
        release: to be called when it is used up, so that another one is asked for.
    """

    batch: Any
    release: Callable[[], None]


class Feed(Protocol):
    """A worker's end of its connection to a feeder; one thread uses it, any may release."""

    attachment: Attachment

    def open(self) -> None:
        """Begin: the feeder drops what it had in hand before.

        Raises:
            FeedLost: as do `submit` and `next_portion`.
        """
        ...

    def submit(self, tasks: Sequence[Any]) -> None:
        """Send tasks."""
        ...

    def next_portion(self, timeout_s: float) -> Portion | None:
        """Return the next batch, or None when none came in time."""
        ...

    def close(self) -> None:
        """Ask for nothing more."""
        ...


class FedWorker(Protocol):
    """A worker that feeders can help; a Worker besides.

    Its Progress lists the sessions of the feeds that it holds.
    """

    def attach(self, feed: Feed) -> None:
        """Take work from a feeder until it is lost; returns at once."""
        ...
