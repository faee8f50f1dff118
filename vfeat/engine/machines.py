"""The interface between the executor of a cluster and the cluster itself.

The executor decides what runs where and whose fault a failure is; this side starts processes on
nodes, calls them and ends them. Ray implements it; the simulation implements it, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vfeat.engine.executor import WorkerSpec
from vfeat.engine.feeding import Attachment, FeederSpec
from vfeat.plan.unit import Lease
from vfeat.storage.root import Root

Handle = Any  # a started process
Call = Any  # a call in progress; hashable


@dataclass(frozen=True)
class Node:
    """A living machine of the cluster.

    Attributes:
        name: its id, unique.
        address: for people.
        cpus, gpus, memory_bytes: what it offers to all jobs together.
    """

    name: str
    address: str
    cpus: float
    gpus: float
    memory_bytes: float = 0.0


@dataclass(frozen=True)
class Setup:
    """What a worker is given at its start.

    Attributes:
        cpus: cores for its own threads and processes.
        gpus: share of a device, or number of devices.
        mark: key of a file that it writes under the root; None where none is needed.
        sample: address of a source that it must reach; None: none is looked at.
        memory_bytes: what to book for it; 0 for nothing.
    """

    spec: WorkerSpec
    cpus: int
    gpus: float
    root: Root
    mark: str | None = None
    sample: str | None = None
    memory_bytes: int = 0


@dataclass(frozen=True)
class FeederSetup:
    """What a feeder is given at its start.

    Attributes:
        cpus: cores for its own threads and processes.
        memory_bytes: what to book for it; 0 for nothing.
        pulls: batches that its worker asks for at once.
    """

    spec: FeederSpec
    cpus: int
    memory_bytes: int
    pulls: int


class Machines(Protocol):
    """A cluster: nodes, processes on them, and a clock."""

    @property
    def logs(self) -> str:
        """Where the cluster's own logs are."""
        ...

    def connect(self) -> None:
        """Connect to the cluster, once; a local one is started."""
        ...

    def nodes(self) -> Mapping[str, Node]:
        """Return the living nodes by their names."""
        ...

    def start(self, node: str, setup: Setup) -> tuple[Handle, Call]:
        """Start a worker on a node; return it, and the call that ends when it is set up.

        The call's result is what it has found there, NodeFacts.
        """
        ...

    def start_feeder(self, node: str, setup: FeederSetup) -> tuple[Handle, Call]:
        """Start a feeder on a node; return it, and the call that ends when it is set up."""
        ...

    def attach(self, worker: Handle, feeder: Handle, attachment: Attachment) -> Call:
        """Let a worker take work from a feeder; the call ends when it has begun to."""
        ...

    def run(self, worker: Handle, lease: Lease) -> Call:
        """Let a worker work on a lease; the call's result is a ShardReport."""
        ...

    def progress(self, worker: Handle) -> Call:
        """Request the counters of a worker or feeder; the call's result is a Progress."""
        ...

    def wait(self, calls: Collection[Call], timeout_s: float) -> list[Call]:
        """Wait until one of the calls has ended, but no longer than the time-out.

        Returns:
            Calls that have ended, none after the time-out.
        """
        ...

    def result(self, call: Call) -> Any:
        """Return the result of a call that has ended.

        Raises:
            WorkerFault: the worker ended, its node failed, or it raised what is not vfeat's.
            VfeatError: the worker raised it.
        """
        ...

    def kill(self, worker: Handle) -> None:
        """End a worker or feeder at once."""
        ...

    def free_resources(self) -> str:
        """Return a sentence on what is free in the cluster."""
        ...

    def now_s(self) -> float:
        """Return seconds of a monotonic clock."""
        ...

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def close(self, *, keep_logs: bool) -> None:
        """Disconnect; a cluster that was started by `connect` ends."""
        ...
