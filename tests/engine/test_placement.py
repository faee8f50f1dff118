"""What runs where: workers first, feeders on the other nodes, and enough leases for both."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.engine.jobs import tiny_job
from tests.engine.pretended import facts
from vfeat.engine.cluster_executor import MOST_LEASES, ClusterExecutor, ClusterSettings
from vfeat.engine.executor import Beat, Capacity, WorkerSpec
from vfeat.engine.feeding import Attachment
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.lease_queue import LeaseQueue
from vfeat.engine.machines import FeederSetup, Node, Setup
from vfeat.engine.worker_fault import WorkerFault
from vfeat.engine.worker_places import Wanted
from vfeat.engine.worker_protocol import Progress, ShardReport
from vfeat.extract.model_outline import outline
from vfeat.extract.prepare import estimate, make_recipe
from vfeat.extract.spec import ExtractSpec, WorkerSettings
from vfeat.plan.unit import Lease, Unit
from vfeat.storage.root import Root

GB = float(1 << 30)
GPU_CLUSTER = (
    Node("g1", "g1", 32, 2, 64 * GB), Node("g2", "g2", 32, 2, 64 * GB),
    Node("c1", "c1", 16, 0, 1 * GB), Node("c2", "c2", 8, 0, 64 * GB), Node("c0", "c0", 0, 0, GB),
)  # fmt: skip
CPU_CLUSTER = tuple(Node(f"n{i}", f"n{i}", 4, 0, 8 * GB) for i in range(3))


@dataclass(eq=False)
class Started:
    node: str
    setup: Any
    feeds: list[int] = field(default_factory=list)
    lives: bool = True


class Paper:
    """Machines on paper: a start takes no time, a lease takes some calls of `wait`."""

    logs = "nowhere"

    def __init__(self, *nodes: Node) -> None:
        self.cluster = {node.name: node for node in nodes}
        self.workers: list[Started] = []
        self.feeders: list[Started] = []
        self.attached: list[tuple[str, str]] = []
        self.most_at_once: dict[str, int] = {}
        self._leases: dict[int, tuple[Started, Lease]] = {}
        self._answers: dict[int, Any] = {}
        self._calls = itertools.count()
        self._now_s = 0.0

    def connect(self) -> None:
        pass

    def nodes(self) -> Mapping[str, Node]:
        return self.cluster

    def _answer(self, value: Any) -> int:
        call = next(self._calls)
        self._answers[call] = value
        return call

    def start(self, node: str, setup: Setup) -> tuple[Started, int]:
        assert all(f.node != node for f in self.feeders if f.lives), "no room for the worker"
        self.workers.append(Started(node, setup))
        return self.workers[-1], self._answer(facts(node))

    def start_feeder(self, node: str, setup: FeederSetup) -> tuple[Started, int]:
        self.feeders.append(Started(node, setup))
        return self.feeders[-1], self._answer(1)

    def attach(self, worker: Started, feeder: Started, attachment: Attachment) -> int:
        self.attached.append((worker.node, feeder.node))
        worker.feeds.append(attachment.session)
        return self._answer(None)

    def run(self, worker: Started, lease: Lease) -> int:
        call = next(self._calls)
        self._leases[call] = (worker, lease)
        now = sum(one is worker for one, _ in self._leases.values())
        self.most_at_once[worker.node] = max(now, self.most_at_once.get(worker.node, 0))
        return call

    def progress(self, worker: Started) -> int:
        return self._answer(Progress(feeds=tuple(worker.feeds)))

    def wait(self, calls: Collection[int], timeout_s: float) -> list[int]:
        self._now_s += 0.1 if timeout_s else 0.0
        answered = [call for call in calls if call in self._answers]
        if not answered and timeout_s and self._now_s % 5 < 0.1:  # one lease ends now and then
            return list(calls)[:1]
        return answered

    def result(self, call: int) -> Any:
        if call in self._answers:
            answer = self._answers.pop(call)
            if isinstance(answer, Exception):
                raise answer
            return answer
        worker, lease = self._leases.pop(call)
        if not worker.lives:
            raise WorkerFault("lease", "it ended", has_ended=True)
        return ShardReport(lease.shard, (), True, 0.0)

    def kill(self, worker: Started) -> None:
        worker.lives = False

    def free_resources(self) -> str:
        return "nothing"

    def now_s(self) -> float:
        return self._now_s

    def pause(self, seconds: float) -> None:
        self._now_s += seconds

    def close(self, *, keep_logs: bool) -> None:
        pass


def spec(tmp_path: Path) -> WorkerSpec:
    job = tiny_job(tmp_path / "out", "-")
    settings = WorkerSettings(str(tmp_path / "out"))
    return ExtractSpec(make_recipe(job, outline(job)), settings)


def work(count: int, units: int = 1) -> Ledger:
    queue = LeaseQueue()
    one = Unit("0" * 32, "/v.mp4", 1, "e", 0, None, 1.0)
    queue.add(iter([Lease(f"p00001-{n:05d}", (one,) * units) for n in range(count)]))
    queue.end()
    return Ledger(queue)


def carried_out(
    machines: Paper, settings: ClusterSettings, tmp_path: Path, leases: int = 60
) -> Iterator[Any]:
    executor = ClusterExecutor(machines, settings, is_local=False)
    return executor.run(spec(tmp_path), work(leases), Root("memory://placement"))


def test_feeders_take_the_nodes_without_workers_and_are_shared_out_by_cores(
    tmp_path: Path,
) -> None:
    machines = Paper(*GPU_CLUSTER)
    list(carried_out(machines, ClusterSettings(), tmp_path))
    first = machines.workers[:4]
    assert sorted(worker.node for worker in first) == ["g1", "g1", "g2", "g2"]
    assert all((w.setup.cpus, w.setup.gpus) == (16, 1.0) for w in first)
    assert {f.node: f.setup.cpus for f in machines.feeders} == {"c1": 16, "c2": 8}
    assert [sum(session in w.feeds for w in first) for session in (1, 2)] == [1, 1]
    assert not any({1, 2} <= set(w.feeds) for w in first), "both feeders went to one worker"


def test_memory_is_booked_as_expected_and_never_more_than_the_node_has(tmp_path: Path) -> None:
    machines = Paper(*GPU_CLUSTER, Node("small", "small", 4, 1, 2 * GB))
    list(carried_out(machines, ClusterSettings(), tmp_path))
    booked = {f.node: f.setup.memory_bytes / GB for f in machines.feeders}
    assert booked["c1"] == 1.0 and 1.0 < booked["c2"] < 16.0
    workers = {w.node: w.setup.memory_bytes / GB for w in machines.workers}
    assert 2.0 < workers["g1"] <= 32.0 and workers["small"] == 2.0


@pytest.mark.parametrize(
    "nodes, actors, decode_on, feeders",
    [
        (GPU_CLUSTER, None, "encode-nodes", []),
        (GPU_CLUSTER, None, "all", ["c1", "c2"]),
        (GPU_CLUSTER, 1, "auto", ["c1", "c2", "g2"]),
        (CPU_CLUSTER, None, "all", []),
        (CPU_CLUSTER, 1, "auto", []),
        (CPU_CLUSTER, 1, "all", ["n1", "n2"]),
    ],
)
def test_decode_on_chooses_the_nodes(
    nodes: tuple[Node, ...], actors: int | None, decode_on: str, feeders: list[str], tmp_path: Path
) -> None:
    machines = Paper(*nodes)
    list(carried_out(machines, ClusterSettings(Wanted(actors), decode_on), tmp_path))
    assert sorted(feeder.node for feeder in machines.feeders) == feeders


def test_a_worker_with_feeders_has_more_leases_in_hand(tmp_path: Path) -> None:
    with_feeders, without = Paper(*CPU_CLUSTER), Paper(*CPU_CLUSTER)
    list(carried_out(with_feeders, ClusterSettings(Wanted(1), "all"), tmp_path))
    list(carried_out(without, ClusterSettings(Wanted(1)), tmp_path))
    assert without.most_at_once == {"n0": 2}
    assert with_feeders.most_at_once == {"n0": MOST_LEASES}


def test_a_worker_that_lost_its_node_takes_the_place_of_a_feeder(tmp_path: Path) -> None:
    machines = Paper(*CPU_CLUSTER)
    run = carried_out(machines, ClusterSettings(Wanted(1), "all"), tmp_path)
    for event in run:
        if isinstance(event, Beat) and len(event.feeders) == 2:
            break
    machines.workers[0].lives = False
    del machines.cluster["n0"]
    list(run)
    assert [worker.node for worker in machines.workers] == ["n0", "n1"]
    assert [feeder.lives for feeder in machines.feeders] == [False, True]
    assert machines.attached[-1] == ("n1", "n2")


def test_a_plan_counts_on_the_machines_of_the_workers_and_not_on_the_drivers(
    tmp_path: Path,
) -> None:
    machines = Paper(*GPU_CLUSTER)
    executor = ClusterExecutor(machines, ClusterSettings(), is_local=False)
    found = executor.capacity()
    assert found == Capacity(4, 16, True, feeders=2, feeder_cores=24)
    job = tiny_job(tmp_path / "out", "-")
    made = estimate(job, outline(job), Root(str(tmp_path)), found)
    assert (made.workers, made.decoders) == (4, 15 + 24 // 4)
    assert "GPU" in made.basis
    limited = estimate(
        job.model_copy(update={"decode_workers": 5}), outline(job), Root(str(tmp_path)), found
    )
    assert limited.decoders == 5 + 2 * 5 // 4
    slow = ClusterExecutor(
        Paper(*CPU_CLUSTER), ClusterSettings(Wanted(2)), is_local=False
    ).capacity()
    assert slow == Capacity(2, 4, has_gpu=False)
