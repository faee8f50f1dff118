"""Execution on Ray, as raw actors without restarts: the engine owns all retries.

An actor is a worker process that holds the model and its decoder children. It never restarts
by itself: an end of its own is the ledger's to judge, a fault of its node is the node's, and a
fresh actor takes its place.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    RuntimeEnvSetupError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vfeat.engine.executor import Assembled, Beat, Event, Finished, Notice, WorkerSpec
from vfeat.engine.lease_ledger import Ledger, WorkersLost
from vfeat.engine.node_health import NodeHealth
from vfeat.engine.ray_connection import Connection
from vfeat.engine.worker_protocol import Progress, ShardReport
from vfeat.errors import EnvironmentMissing, JobError, StorageError, VfeatError
from vfeat.plan.unit import Lease
from vfeat.storage.root import Root
from vfeat.tables import layout

TICK_S = 0.5
BEAT_S = 1.0
SILENCE_S = 60.0  # a worker that gives no sign of life for so long is killed
PLACEMENT_S = 60.0  # actors without a place after so long are reported
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

    def setup(self, spec: WorkerSpec, cpus: int, root: Root, mark: str | None) -> int:
        import torch

        if mark is not None:
            root.replace_bytes(mark, b"")
        torch.set_num_threads(cpus)
        self.worker = spec.build(cpus)
        return os.getpid()

    def run(self, lease: Lease) -> ShardReport:
        return self.worker.run(lease)

    def progress(self) -> Progress:
        return self.worker.progress()


@dataclass
class _Worker:
    """The driver's view of one actor.

    Attributes:
        node: id of the node that it was asked for.
        ready: result of its setup; None when that is done.
        asked_s: when it was asked for, or when its last beat was.
        mark: a file that it writes under a local root, and the driver must see.
        beat: the counters that were asked for and have not come.
    """

    name: str
    node: str
    handle: Any
    ready: Any
    asked_s: float
    mark: str | None = None
    is_told: bool = False
    leases: dict[Any, Lease] = field(default_factory=dict)
    beat: Any = None
    progress: Progress | None = None

    def is_late(self, now_s: float) -> bool:
        """Return whether it has not started for long, and was not reported."""
        return self.ready is not None and not self.is_told and now_s - self.asked_s > PLACEMENT_S


class RayExecutor:
    """Executor whose workers are Ray actors, on one machine or on a cluster."""

    def __init__(self, cluster: ClusterSettings) -> None:
        self.cluster = cluster
        self._connection: Connection | None = None
        self._keep_logs = False
        self._spec: WorkerSpec | None = None
        self._root: Root | None = None
        self._workers: list[_Worker] = []
        self._health = NodeHealth()
        self._named = 0
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
        return max(1, len(self._places(_nodes())))

    def _places(self, nodes: dict[str, dict[str, float]]) -> list[str]:
        """Return the node of each actor that the cluster can hold at present."""
        if self._use_gpu(nodes):
            share = self.cluster.gpus_per_actor
            places = [n for n, has in nodes.items() for _ in range(int(has.get("GPU", 0) / share))]
        else:
            places = [name for name, has in nodes.items() if has.get("CPU", 0) >= 1]
        if self.cluster.actors is None:
            return places
        return list(islice(cycle(places or nodes), self.cluster.actors))

    def _use_gpu(self, nodes: dict[str, dict[str, float]]) -> bool:
        return self.cluster.device != "cpu" and any(has.get("GPU", 0) for has in nodes.values())

    def run(self, spec: WorkerSpec, ledger: Ledger, root: Root) -> Iterator[Event]:
        self._spec, self._root = spec, root
        self._start()
        grow_at = 0.0
        beat_at = 0.0
        while not ledger.idle:
            now = time.monotonic()
            if now >= grow_at:
                self._grow(ledger)
                grow_at = now + 10
            self._hand_out(ledger)
            if ledger.in_flight or self._unready():
                yield from self._collect(ledger)
            else:
                time.sleep(TICK_S)  # the input is still being listed, or every node rests
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + BEAT_S
                yield self._beat()
                yield from self._watch_over(ledger)
        yield self._beat(last=True)

    def _unready(self) -> bool:
        return any(worker.ready is not None for worker in self._workers)

    def _grow(self, ledger: Ledger) -> None:
        """Start actors up to what the cluster holds at present; nodes come and go."""
        now_s = time.monotonic()
        nodes = _nodes()
        places = Counter(self._places(nodes))
        ledger.nodes = frozenset(places)
        missing = places - Counter(worker.node for worker in self._workers)
        use_gpu = self._use_gpu(nodes)
        for node in missing.elements():
            if not self._health.can_work(node, now_s):
                continue
            self._named += 1
            cpus = max(1, int(nodes[node].get("CPU", 1)) // places[node])
            actor = ray.remote(_Actor).options(
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=LEASES + 2,
                num_cpus=cpus,  # decoder children included, also beside a GPU
                num_gpus=self.cluster.gpus_per_actor if use_gpu else 0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
            )
            handle = actor.remote()
            is_local = self._root is not None and self._root.local_path("") is not None
            mark = f"{layout.RUNS}/.seen-{uuid.uuid4().hex}" if is_local else None
            ready = handle.setup.remote(self._spec, cpus, self._root, mark)
            worker = _Worker(f"worker-{self._named}", node, handle, ready, now_s, mark)
            self._workers.append(worker)

    def _hand_out(self, ledger: Ledger) -> None:
        """Give every worker one lease before any gets a second one to prefetch."""
        ready = [worker for worker in self._workers if worker.ready is None]
        for depth in range(LEASES):
            for worker in ready:
                if len(worker.leases) > depth:
                    continue
                lease = ledger.take(worker.name, time.monotonic(), worker.node)
                if lease is not None:
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
            except (RayError, VfeatError) as error:
                yield from self._bury(worker, ledger, error)
                continue
            if ref is worker.ready:
                worker.ready, worker.asked_s = None, time.monotonic()
                self._check_mark(worker)
                continue
            self._health.worked(worker.node)
            lease = worker.leases.pop(ref)
            split = ledger.done(lease, worker.name, time.monotonic(), report.result)
            if lease.alone is None:
                yield Finished(lease, report)
            elif split is not None:
                yield Assembled(split.lease, _in_order(split.results))
            for name in ledger.idlers():
                yield from self._end_copy(name, ledger)

    def _check_mark(self, worker: _Worker) -> None:
        """Look for the file that a worker wrote under a local root.

        Raises:
            JobError: its machine has another folder of that name.
        """
        if worker.mark is None or self._root is None:
            return
        if not self._root.exists(worker.mark):
            address = {n["NodeID"]: n["NodeManagerAddress"] for n in ray.nodes()}
            raise JobError(
                f"{self._root.uri} on the node {address.get(worker.node, worker.node)} is another "
                "folder than here: give --out a folder or bucket that all machines share"
            )
        self._root.delete(worker.mark)

    def _end_copy(self, name: str, ledger: Ledger) -> Iterator[Event]:
        """End a worker that is busy with nothing but what others have finished."""
        for worker in [worker for worker in self._workers if worker.name == name]:
            self._remove(worker)
            ledger.returned(name)
            yield Notice(f"{name}: ended; another worker finished its shard first")
        self._grow(ledger)

    def _bury(self, worker: _Worker, ledger: Ledger, error: Exception) -> Iterator[Event]:
        """Remove a worker that failed, and settle whose fault it was.

        Raises:
            VfeatError: the fault is everybody's: the store's, the job's, or one that repeats.
        """
        if isinstance(error, LocalRayletDiedError):
            raise EnvironmentMissing(
                f"Ray on this machine has ended ({_first_line(error)}); run the same command again"
            ) from error
        self._remove(worker)
        if _is_node_lost(error, worker.node):
            ledger.returned(worker.name)
            yield Notice(f"{worker.name}: lost with its node ({_first_line(error)})")
        elif _is_nodes_fault(error):
            ledger.returned(worker.name)
            told = self._health.strike(worker.node, error, time.monotonic())
            yield Notice(f"{worker.name}: {told}")
            common = self._health.all_fail(set(ledger.nodes))
            if common is not None:
                raise common if isinstance(common, VfeatError) else self._workers_lost(common, 1)
        elif isinstance(error, VfeatError):
            raise error
        else:
            split = ledger.died(worker.name)
            yield Notice(f"{worker.name} died: {_first_line(error)}")
            if ledger.deaths >= DEATHS_IN_A_ROW:
                raise self._workers_lost(error, ledger.deaths)
            if split is not None:
                yield Assembled(split.lease, _in_order(split.results))
        self._grow(ledger)

    def _workers_lost(self, error: Exception, deaths: int) -> WorkersLost:
        assert self._connection is not None  # a worker has run on it
        self._keep_logs = True
        return WorkersLost(
            f"{deaths} workers in a row died before they finished anything. What is "
            "committed stays, and the same command goes on from there. Ray's logs are in "
            f"{self._connection.logs}. The last one ended with:",
            *_tail(error),
        )

    def _remove(self, worker: _Worker) -> None:
        """End an actor and keep what it has counted."""
        # An exception that is not ours is a death too: a GPU that fell off the bus raises for
        # ever, and only a fresh process may do better.
        ray.kill(worker.handle)
        self._workers.remove(worker)
        if (seen := worker.progress) is not None:
            for name in ("clips", "units", "encode_s", "wait_s", "decode_s", "write_s"):
                setattr(self._lost, name, getattr(self._lost, name) + getattr(seen, name))

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
                except RayError:
                    continue  # the next collect buries it
                worker.beat, worker.asked_s = None, time.monotonic()
        live = tuple(w.progress for w in self._workers if w.progress is not None)
        return Beat((*live, self._lost) if self._lost.clips else live)

    def _watch_over(self, ledger: Ledger) -> Iterator[Event]:
        """Kill workers that give no sign of life; report those without a place."""
        now_s = time.monotonic()
        for worker in list(self._workers):
            if worker.ready is None and now_s - worker.asked_s > SILENCE_S:
                silent = TimeoutError(f"no sign of life for {SILENCE_S:.0f} s; killed")
                yield from self._bury(worker, ledger, silent)
            elif worker.is_late(now_s):
                worker.is_told = True
                yield Notice(f"{worker.name} has not started for {PLACEMENT_S:.0f} s: {_room()}")

    def progress(self) -> tuple[Progress, ...]:
        return tuple(w.progress for w in list(self._workers) if w.progress is not None)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close(keep_logs=self._keep_logs)
            self._connection = None


def _nodes() -> dict[str, dict[str, float]]:
    """Return the resources of the living nodes by their ids."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def _is_node_lost(error: Exception, node: str) -> bool:
    """Return whether a worker ended with its node, or was taken from it."""
    if isinstance(error, NodeDiedError) or getattr(error, "preempted", False):
        return True
    is_end = isinstance(error, RayActorError) and not isinstance(error, ActorUnavailableError)
    return is_end and node not in _nodes()


def _is_nodes_fault(error: Exception) -> bool:
    """Return whether a fault lies with the machine or the store, and with no unit."""
    known = (
        OutOfMemoryError, OutOfDiskError, ObjectLostError, ActorUnavailableError,
        RuntimeEnvSetupError, StorageError,
    )  # fmt: skip
    return isinstance(error, known)


def _room() -> str:
    free = {name: count for name, count in ray.available_resources().items() if count}
    wanted = ", ".join(f"{free.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
    return f"free in the whole cluster: {wanted}; is another job using it?"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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
