"""Execution on Ray, as raw actors without restarts: the engine owns all retries.

An actor is a worker process that holds the model and its decoder children. It never restarts
by itself: a death is the ledger's to judge, and a fresh actor takes its place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from vfeat.engine.executor import Assembled, Beat, Event, Finished, WorkerSpec
from vfeat.engine.lease_ledger import Ledger, WorkersLost
from vfeat.engine.ray_connection import Connection
from vfeat.engine.worker_protocol import Progress, ShardReport
from vfeat.errors import VfeatError
from vfeat.plan.unit import Lease

TICK_S = 0.5
BEAT_S = 1.0
LEASES = 2  # one in flight, one prefetched
DEATHS_IN_A_ROW = 6  # workers lost with nothing finished between


@dataclass(frozen=True)
class ClusterSettings:
    """Resources to request from Ray.

    Attributes:
        actors: None means one per GPU, or one per CPU node when there is none.
    """

    address: str | None = None
    actors: int | None = None
    gpus_per_actor: float = 1.0
    device: str = "auto"


class _Actor:
    """A worker inside a Ray actor; heavy imports happen there, in `setup`."""

    def setup(self, spec: WorkerSpec, cpus: int) -> int:
        import torch

        torch.set_num_threads(cpus)
        self.worker = spec.build()
        return os.getpid()

    def run(self, lease: Lease) -> ShardReport:
        return self.worker.run(lease)

    def progress(self) -> Progress:
        return self.worker.progress()


@dataclass
class _Worker:
    """The driver's view of one actor."""

    name: str
    handle: Any
    ready: Any
    leases: dict[Any, Lease] = field(default_factory=dict)
    beat: Any = None
    progress: Progress | None = None


class RayExecutor:
    """Executor whose workers are Ray actors, on one machine or on a cluster."""

    def __init__(self, cluster: ClusterSettings) -> None:
        self.cluster = cluster
        self._connection: Connection | None = None
        self._keep_logs = False
        self._spec: WorkerSpec | None = None
        self._workers: list[_Worker] = []
        self._named = 0
        self._deaths = 0
        self._lost = Progress(pid=0)

    def _start(self) -> None:
        if self._connection is None:
            self._connection = Connection(self.cluster.address)

    def workers(self) -> int:
        if self.cluster.actors:
            return self.cluster.actors
        if self._connection is None and self.cluster.address is None:
            return max(1, _local_gpus(self.cluster))
        self._start()
        return self._wanted()

    def _wanted(self) -> int:
        """Return how many actors the cluster can hold at present."""
        if self.cluster.actors:
            return self.cluster.actors
        nodes = [node for node in ray.nodes() if node["Alive"]]
        gpus = sum(node["Resources"].get("GPU", 0) for node in nodes)
        if gpus and self.cluster.device != "cpu":
            return max(1, int(gpus / self.cluster.gpus_per_actor))
        return max(1, sum(1 for node in nodes if node["Resources"].get("CPU", 0) >= 1))

    def _cpus(self) -> int:
        """Return the CPU threads of an actor: its fair share of the smallest node."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus = [int(resources["CPU"]) for resources in nodes if resources.get("CPU", 0) >= 1]
        per_node = -(-self._wanted() // max(1, len(cpus)))
        return max(1, min(cpus, default=1) // per_node)

    def run(self, spec: WorkerSpec, ledger: Ledger) -> Iterator[Event]:
        self._spec = spec
        self._start()
        grow_at = 0.0
        beat_at = 0.0
        while not ledger.idle:
            now = time.monotonic()
            if now >= grow_at:
                self._grow()
                grow_at = now + 10
            self._hand_out(ledger)
            if ledger.in_flight or self._unready():
                yield from self._collect(ledger)
            else:
                time.sleep(TICK_S)  # the input is still being listed
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + BEAT_S
                yield self._beat()
        yield self._beat(last=True)

    def _unready(self) -> bool:
        return any(worker.ready is not None for worker in self._workers)

    def _grow(self) -> None:
        """Start actors up to what the cluster holds at present; nodes come and go."""
        cpus = self._cpus()
        gpus = sum(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])
        use_gpu = bool(gpus) and self.cluster.device != "cpu"
        while len(self._workers) < self._wanted():
            self._named += 1
            actor = ray.remote(_Actor).options(
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=LEASES + 2,
                num_cpus=0.5 if use_gpu else cpus,
                num_gpus=self.cluster.gpus_per_actor if use_gpu else 0,
                scheduling_strategy="SPREAD",
            )
            handle = actor.remote()
            ready = handle.setup.remote(self._spec, cpus)
            self._workers.append(_Worker(f"worker-{self._named}", handle, ready))

    def _hand_out(self, ledger: Ledger) -> None:
        """Give every worker one lease before any gets a second one to prefetch."""
        ready = [worker for worker in self._workers if worker.ready is None]
        for depth in range(LEASES):
            for worker in ready:
                if len(worker.leases) > depth:
                    continue
                lease = ledger.take(worker.name, time.monotonic())
                if lease is None:
                    return
                worker.leases[worker.handle.run.remote(lease)] = lease

    def _collect(self, ledger: Ledger) -> Iterator[Event]:
        waiting = {ref: worker for worker in self._workers for ref in worker.leases}
        waiting |= {worker.ready: worker for worker in self._workers if worker.ready is not None}
        done, _ = ray.wait(list(waiting), num_returns=1, timeout=TICK_S)
        for ref in done:
            worker = waiting[ref]
            if worker not in self._workers:  # buried a moment ago with its other lease
                continue
            try:
                report = _get(ref)
            except (RayActorError, RayTaskError) as error:
                # An exception that is not ours is a death too: a GPU that fell off the bus
                # raises for ever, and only a fresh process may do better.
                ray.kill(worker.handle)
                yield from self._bury(worker, ledger, error)
                continue
            self._deaths = 0
            if ref is worker.ready:
                worker.ready = None
                continue
            lease = worker.leases.pop(ref)
            split = ledger.done(lease, worker.name, time.monotonic(), report.result)
            if lease.alone is None:
                yield Finished(lease, report)
            elif split is not None:
                yield Assembled(split.lease, _in_order(split.results))

    def _bury(self, worker: _Worker, ledger: Ledger, error: Exception) -> Iterator[Event]:
        self._workers.remove(worker)
        if worker.progress is not None:
            self._lost.clips += worker.progress.clips
        self._deaths += 1
        if self._deaths >= DEATHS_IN_A_ROW:
            assert self._connection is not None  # a worker has run on it
            self._keep_logs = True
            raise WorkersLost(
                f"{self._deaths} workers in a row died before they finished anything. What is "
                "committed stays, and the same command goes on from there. Ray's logs are in "
                f"{self._connection.logs}. The last one ended with:",
                *_tail(error),
            )
        split = ledger.died(worker.name)
        if split is not None:
            yield Assembled(split.lease, _in_order(split.results))
        self._grow()

    def _beat(self, last: bool = False) -> Beat:
        """Request the counters of all workers without waiting for a busy one."""
        for worker in self._workers:
            if worker.ready is not None:
                continue
            if worker.beat is None:
                worker.beat = worker.handle.progress.remote()
            done, _ = ray.wait([worker.beat], timeout=2.0 if last else 0)
            if done:
                try:
                    worker.progress = ray.get(worker.beat)
                except RayActorError:
                    continue  # the next collect buries it
                worker.beat = None
        live = tuple(w.progress for w in self._workers if w.progress is not None)
        return Beat((*live, self._lost) if self._lost.clips else live)

    def progress(self) -> tuple[Progress, ...]:
        return tuple(w.progress for w in list(self._workers) if w.progress is not None)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close(keep_logs=self._keep_logs)
            self._connection = None


def _get(ref: Any) -> Any:
    """Get a result; raise errors of vfeat as they were raised remotely."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, VfeatError):
            raise cause from None
        raise


def _tail(error: Exception) -> list[str]:
    """Return the last lines of a remote traceback, or of Ray's report of a death."""
    return str(error).strip().splitlines()[-12:]


def _in_order(results: dict[int, Any]) -> tuple[Any, ...]:
    return tuple(results[place] for place in sorted(results))


def _local_gpus(cluster: ClusterSettings) -> int:
    if cluster.device == "cpu" or not os.path.isdir("/proc/driver/nvidia/gpus"):
        return 0
    return int(len(os.listdir("/proc/driver/nvidia/gpus")) / cluster.gpus_per_actor)
