"""A cluster of Ray: workers are raw actors without restarts."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

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

from vfeat.engine.feeding import Attachment, FedWorker
from vfeat.engine.machines import Call, FeederSetup, Handle, Node, Setup
from vfeat.engine.preflight import NodeFacts, check_versions, look_around, versions
from vfeat.engine.ray_connection import Connection
from vfeat.engine.ray_feeders import RayFeed, start_feeder
from vfeat.engine.worker_fault import Owner, WorkerFault, device_lost
from vfeat.engine.worker_protocol import Progress, ShardReport
from vfeat.errors import EnvironmentMissing, VfeatError
from vfeat.plan.unit import Lease

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CALLS = 12  # of one worker at once: up to eight leases, counters, feeders, and some to spare
_NODES_FAULTS = (
    OutOfMemoryError, OutOfDiskError, ObjectLostError, ActorUnavailableError, RuntimeEnvSetupError,
)  # fmt: skip


class _Actor:
    """A worker inside a Ray actor; heavy imports happen there, in `setup`."""

    def setup(self, driver: dict[str, str], pickled: bytes) -> NodeFacts:
        check_versions(driver)  # before anything of another version is unpickled
        setup: Setup = ray.cloudpickle.loads(pickled)
        import torch

        if setup.mark is not None:
            setup.root.replace_bytes(setup.mark, b"")
        torch.set_num_threads(setup.cpus)
        with _devices():
            facts = look_around(setup.sample)
            self.worker = setup.spec.build(setup.cpus)
        return facts

    def run(self, lease: Lease) -> ShardReport:
        with _devices():
            return self.worker.run(lease)

    def attach(self, feeder: Any, attachment: Attachment) -> None:
        cast(FedWorker, self.worker).attach(RayFeed(feeder, attachment))

    def progress(self) -> Progress:
        return self.worker.progress()


@contextmanager
def _devices() -> Iterator[None]:
    """Raise what a GPU raised as its own fault.

    Raises:
        DeviceLost: in place of the error of CUDA.
    """
    try:
        yield
    except RuntimeError as error:
        if (lost := device_lost(error)) is not None:
            raise lost from error
        raise


def _look(driver: dict[str, str]) -> NodeFacts:
    check_versions(driver)
    return look_around(None)


class RayMachines:
    """Machines of a Ray cluster, or this machine as a cluster of one."""

    def __init__(self, address: str | None) -> None:
        """Remember the address; None starts a cluster on this machine in `connect`."""
        self.address = address
        self._connection: Connection | None = None

    @property
    def logs(self) -> str:
        return "nowhere" if self._connection is None else self._connection.logs

    def connect(self) -> None:
        if self._connection is None:
            self._connection = Connection(self.address)

    def nodes(self) -> Mapping[str, Node]:
        """Return the living nodes by their names.

        Raises:
            EnvironmentMissing: the only node of a local cluster has ended; no other will come.
        """
        living = {
            node["NodeID"]: Node(
                node["NodeID"],
                node["NodeManagerAddress"],
                node["Resources"].get("CPU", 0),
                node["Resources"].get("GPU", 0),
                node["Resources"].get("memory", 0),
            )
            for node in ray.nodes()
            if node["Alive"]
        }
        if not living and self._connection is not None and self._connection.is_own:
            raise EnvironmentMissing(
                "Ray on this machine has ended: its raylet died or was killed. Run the same "
                "command again; it goes on from what is committed"
            )
        return living

    def look(self) -> Iterator[tuple[Node, NodeFacts | Exception]]:
        """Yield what each living node has, or why it could not be looked at; on all at once."""
        nodes = [node for node in self.nodes().values() if node.cpus >= 1]
        look = ray.remote(_look).options
        calls = [
            look(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.name, soft=False),
            ).remote(versions())
            for node in nodes
        ]
        for node, call in zip(nodes, calls, strict=True):
            try:
                yield node, self.result(call)
            except (WorkerFault, VfeatError) as error:
                yield node, error

    def start(self, node: str, setup: Setup) -> tuple[Handle, Call]:
        actor = ray.remote(_Actor).options(
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=CALLS,
            num_cpus=setup.cpus,  # decoder children included, also beside a GPU
            num_gpus=setup.gpus,
            memory=setup.memory_bytes or None,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        handle = actor.remote()
        return handle, handle.setup.remote(versions(), ray.cloudpickle.dumps(setup))

    def start_feeder(self, node: str, setup: FeederSetup) -> tuple[Handle, Call]:
        return start_feeder(node, setup)

    def attach(self, worker: Handle, feeder: Handle, attachment: Attachment) -> Call:
        return worker.attach.remote(feeder, attachment)

    def run(self, worker: Handle, lease: Lease) -> Call:
        return worker.run.remote(lease)

    def progress(self, worker: Handle) -> Call:
        return worker.progress.remote()

    def wait(self, calls: Collection[Call], timeout_s: float) -> list[Call]:
        done: list[Call]
        done, _ = ray.wait(list(calls), num_returns=1, timeout=timeout_s)
        return done

    def result(self, call: Call) -> Any:
        try:
            return ray.get(call)
        except RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, VfeatError):
                raise cause from None
            raise WorkerFault(_owner(error), raised_text(error)) from error
        except RayError as error:
            has_ended = isinstance(error, RayActorError)
            raise WorkerFault(_owner(error), str(error), has_ended=has_ended) from error

    def kill(self, worker: Handle) -> None:
        ray.kill(worker)

    def free_resources(self) -> str:
        free = {name: count for name, count in ray.available_resources().items() if count}
        counts = ", ".join(f"{free.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
        counts += f", {free.get('memory', 0) / (1 << 30):.1f} GB of memory"
        return f"free in the whole cluster: {counts}; is another job using it?"

    def now_s(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self, *, keep_logs: bool) -> None:
        if self._connection is not None:
            self._connection.close(keep_logs=keep_logs)
            self._connection = None


def raised_text(error: RayTaskError) -> str:
    """Return what a task raised: the exception in one line, then the traceback without colours."""
    cause = getattr(error, "cause", None)
    line = f"{type(cause).__name__}: {cause}".splitlines()[0] if cause is not None else ""
    return f"{line}\n{_COLOURS.sub('', str(error))}".strip()


def _owner(error: RayError) -> Owner:
    """Return whose fault an error of Ray is."""
    if isinstance(error, LocalRayletDiedError):
        return "cluster"
    if isinstance(error, NodeDiedError) or getattr(error, "preempted", False):
        return "nobody"
    return "node" if isinstance(error, _NODES_FAULTS) else "lease"
