"""What the engine asks of the place where work runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.worker_protocol import Progress, ShardReport, UnitResult
from vfeat.plan.unit import Lease


@dataclass(frozen=True)
class Finished:
    """A lease was done and its shard is committed, by us or by another."""

    lease: Lease
    report: ShardReport


@dataclass(frozen=True)
class Assembled:
    """A shard done unit by unit; its file is the driver's to publish."""

    lease: Lease
    results: tuple[UnitResult, ...]


@dataclass(frozen=True)
class Beat:
    """Counters of the live workers."""

    workers: tuple[Progress, ...]


Event = Finished | Assembled | Beat


class Worker(Protocol):
    """One loaded model with shards in its hands; `run` may be called from two threads."""

    def run(self, lease: Lease) -> ShardReport:
        """Do a whole lease and publish its file."""
        ...

    def progress(self) -> Progress:
        """Counters since the start."""
        ...

    def close(self) -> None: ...


class WorkerSpec(Protocol):
    """What a worker is built from, wherever; pickles, and loads torch only in `build`."""

    def build(self) -> Worker: ...


class BatchWork(Protocol):
    """Work on many small items before any worker is started; pickles."""

    def __call__(self, items: Iterable[Any], cores: int | None = None) -> Iterator[Any]:
        """Yield a result for each item, in any order, on so many cores; None: all there are."""
        ...


class Executor(Protocol):
    """The place where leases are worked on. Executors know no table, stages no executor."""

    def workers(self) -> int:
        """How many workers a plan should count on."""
        ...

    def map(self, work: BatchWork, items: Iterable[Any]) -> Iterator[Any]:
        """Apply work to all items; results in any order."""
        ...

    def run(self, spec: WorkerSpec, ledger: Ledger) -> Iterator[Event]:
        """Work the ledger empty, yielding events."""
        ...

    def progress(self) -> tuple[Progress, ...]:
        """Latest counters of the live workers; may be asked for from another thread."""
        ...

    def close(self) -> None: ...
