"""The interface between the engine and the executors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.preflight import NodeFacts
from vfeat.engine.worker_protocol import Progress, ShardReport, UnitResult
from vfeat.plan.unit import Lease
from vfeat.storage.root import Root


@dataclass(frozen=True)
class Finished:
    """A finished lease; its shard is committed, by this run or by another one.

    Attributes:
        node: name of the node that did it; empty where there is but one.
    """

    lease: Lease
    report: ShardReport
    node: str = ""


@dataclass(frozen=True)
class Assembled:
    """A shard that was done unit by unit; the driver publishes its file."""

    lease: Lease
    results: tuple[UnitResult, ...]


@dataclass(frozen=True)
class Beat:
    """Counters of the live workers, and of the feeders beside them."""

    workers: tuple[Progress, ...]
    feeders: tuple[Progress, ...] = ()


@dataclass(frozen=True)
class Notice:
    """Something that happened to a worker or a node, one sentence for the user and the log."""

    text: str


Event = Finished | Assembled | Beat | Notice


class Worker(Protocol):
    """A loaded model that works on leases; `run` may be called from two threads."""

    def run(self, lease: Lease) -> ShardReport:
        """Work on a whole lease and publish its file."""
        ...

    def progress(self) -> Progress:
        """Return the counters since the start."""
        ...

    def close(self) -> None: ...


class WorkerSpec(Protocol):
    """Description of a worker; pickles, and loads torch only in `build`."""

    def build(self, cores: int) -> Worker:
        """Make the worker where it is to be.

        Args:
            cores: of its machine, for its own threads and processes.
        """
        ...


@dataclass(frozen=True)
class Capacity:
    """What a plan can count on.

    Attributes:
        cores: of one worker, on its own machine.
        has_gpu: the workers have GPUs.
        feeders, feeder_cores: processes that prepare work on other machines, and their cores,
            all together.
    """

    workers: int
    cores: int
    has_gpu: bool
    feeders: int = 0
    feeder_cores: int = 0


class Executor(Protocol):
    """A place where leases are worked on. Executors use no table, stages use no executor."""

    def workers(self) -> int:
        """Return how many workers a plan can count on."""
        ...

    def capacity(self) -> Capacity:
        """Return what a plan can count on, from the machines of the workers."""
        ...

    def run(self, spec: WorkerSpec, ledger: Ledger, root: Root) -> Iterator[Event]:
        """Work on leases until the ledger is empty; yield events.

        Args:
            root: of the dataset, which every machine must see as this one does.
        """
        ...

    def nodes(self) -> tuple[NodeFacts, ...]:
        """Return what the nodes of the workers have; empty where all is in this process."""
        ...

    def progress(self) -> tuple[Progress, ...]:
        """Return the latest counters of the live workers; safe to call from another thread."""
        ...

    def close(self) -> None: ...
