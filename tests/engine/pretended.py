"""A cluster without processes: nodes and workers that do what a test lets them do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from vfeat.engine.cluster_executor import ClusterExecutor, ClusterSettings
from vfeat.engine.executor import Event, Notice, Worker
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.lease_queue import LeaseQueue
from vfeat.engine.machines import Node, Setup
from vfeat.engine.preflight import NodeFacts
from vfeat.engine.worker_protocol import Progress, ShardReport
from vfeat.plan.unit import Lease
from vfeat.storage.root import Root

Answer = Callable[[str], object]  # of a node: what a call on it returns, or the error it raises


class NoSpec:
    """Description of a worker that is never built."""

    def build(self, cores: int) -> Worker:
        raise NotImplementedError


@dataclass(eq=False)
class Call:
    """A call that has ended already."""

    answer: object


def facts(host: str, **fields: Any) -> NodeFacts:
    """What a healthy node has."""
    healthy: dict[str, Any] = {
        "versions": {"vfeat": "1"}, "kernel": "cpu", "cores": 2, "memory_bytes": 1 << 33,
        "temporary": "/tmp", "free_bytes": 1 << 40, "gpus": (),
    }  # fmt: skip
    return NodeFacts(host, **{**healthy, **fields})


class PretendedMachines:
    """Machines whose calls end at once; time passes only in waits.

    Attributes:
        set_up: what the setting up of a worker on a node gives.
        work: what a lease on a node gives; None: a report.
        started: the node of each worker, in order.
        done: node and shard of each lease that was given out.
        setups: what the workers were given.
    """

    logs = "nowhere"

    def __init__(self, *nodes: str) -> None:
        self.names = list(nodes)
        self.set_up: Answer = facts
        self.work: Callable[[str, Lease], object] = lambda node, lease: None
        self.started: list[str] = []
        self.done: list[tuple[str, str]] = []
        self.setups: list[Setup] = []
        self._now_s = 0.0

    def connect(self) -> None: ...

    def nodes(self) -> Mapping[str, Node]:
        return {name: Node(name, f"address-{name}", 2, 0) for name in self.names}

    def start(self, node: str, setup: Setup) -> tuple[str, Call]:
        self.started.append(node)
        self.setups.append(setup)
        return node, Call(self.set_up(node))

    def run(self, worker: str, lease: Lease) -> Call:
        self.done.append((worker, lease.shard))
        answer = self.work(worker, lease)
        return Call(ShardReport(lease.shard, (), True, 0.0) if answer is None else answer)

    def progress(self, worker: str) -> Call:
        return Call(Progress(pid=1))

    def wait(self, calls: Collection[Call], timeout_s: float) -> list[Call]:
        self._now_s += 0.1
        return list(calls)

    def result(self, call: Call) -> Any:
        if isinstance(call.answer, Exception):
            raise call.answer
        return call.answer

    def kill(self, worker: str) -> None: ...

    def free_resources(self) -> str:
        return "nothing is free"

    def now_s(self) -> float:
        return self._now_s

    def pause(self, seconds: float) -> None:
        self._now_s += seconds

    def close(self, *, keep_logs: bool) -> None: ...


def work_through(
    machines: PretendedMachines, leases: list[Lease], root: str = "s3://nowhere/out"
) -> list[Event]:
    """Let an executor work through leases; return its events."""
    queue = LeaseQueue()
    queue.add(iter(leases))
    queue.end()
    executor = ClusterExecutor(machines, ClusterSettings(), is_local=False)
    return list(executor.run(NoSpec(), Ledger(queue), Root(root)))


def notices(events: list[Event]) -> list[str]:
    """The sentences of the notices."""
    return [event.text for event in events if isinstance(event, Notice)]
