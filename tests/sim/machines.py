"""The simulated cluster as the executor of one driver calls it (see `vfeat.engine.machines`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tests.sim.cluster import Account, Call, Cluster, Worker
from vfeat.engine.machines import Node, Setup
from vfeat.engine.worker_fault import WorkerFault
from vfeat.plan.unit import Lease


class SimulatedMachines:
    """Machines of one driver; every call is a step of its process."""

    logs = "nowhere"

    def __init__(self, cluster: Cluster, owner: str) -> None:
        self._cluster = cluster
        self._kernel = cluster.kernel
        self._owner = owner
        cluster.told[owner] = Account()

    def connect(self) -> None:
        self._kernel.step()

    def nodes(self) -> Mapping[str, Node]:
        self._kernel.step()
        return self._cluster.nodes()

    def start(self, node: str, setup: Setup) -> tuple[Worker, Call]:
        self._kernel.step()
        worker = Worker(self._cluster, self._cluster.machines[node], setup, self._owner)
        self._cluster.workers.append(worker)
        self._kernel.trace(self._owner, "starts", worker.process.name, "on", node)
        if not worker.machine.is_alive and not worker.machine.is_listed:
            worker.end(self._cluster.loss(worker.machine), after_s=1.0)
        elif not worker.machine.is_alive:
            worker.process.is_dead = True
        return worker, worker.ready

    def run(self, worker: Worker, lease: Lease) -> Call:
        self._kernel.step()
        return worker.submit(lease)

    def progress(self, worker: Worker) -> Call:
        self._kernel.step()
        return worker.beat()

    def wait(self, calls: Collection[Call], timeout_s: float) -> list[Call]:
        assert calls, "Ray refuses to wait for nothing"
        self._kernel.step()
        self._kernel.wait_for(lambda: any(call.is_over for call in calls), timeout_s)
        over = [call for call in calls if call.is_over]
        return [self._kernel.chance.choice(over)] if over else []

    def result(self, call: Call) -> Any:
        self._kernel.step()
        if self._kernel.happens(self._cluster.fates.cluster):
            self._kernel.fault("cluster lost", self._owner)
            raise WorkerFault("cluster", "simulated: nothing can be started any more")
        if call.error is not None:
            raise call.error
        return call.value

    def kill(self, worker: Worker) -> None:
        self._kernel.step()
        self._kernel.trace(self._owner, "ends", worker.process.name)
        worker.detach()

    def free_resources(self) -> str:
        return "simulated: nobody knows"

    def now_s(self) -> float:
        return self._kernel.now_s

    def pause(self, seconds: float) -> None:
        self._kernel.step()
        self._kernel.sleep(seconds)

    def close(self, *, keep_logs: bool) -> None:
        self._cluster.release(self._owner)
