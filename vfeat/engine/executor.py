"""What the engine asks of the place where work runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from vfeat.corpus import Video
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.worker_protocol import Progress, ShardReport, UnitResult
from vfeat.job.fingerprint import Recipe
from vfeat.job.recipe import DecodeLimits
from vfeat.plan.unit import Lease, Planned


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


@dataclass(frozen=True)
class ProbeSpec:
    """What probing needs to know."""

    recipe: Recipe
    limits: DecodeLimits


class Executor(Protocol):
    """Runs probes and leases. Executors know nothing of tables, stages nothing of executors."""

    def workers(self) -> int:
        """How many workers a plan should count on."""
        ...

    def probe(self, spec: ProbeSpec, videos: Iterable[Video]) -> Iterator[Planned]:
        """Probe videos; results in any order."""
        ...

    def run(self, spec: WorkerSpec, ledger: Ledger) -> Iterator[Event]:
        """Work the ledger empty, yielding events."""
        ...

    def progress(self) -> tuple[Progress, ...]:
        """Latest counters of the live workers; may be asked for from another thread."""
        ...

    def close(self) -> None: ...
