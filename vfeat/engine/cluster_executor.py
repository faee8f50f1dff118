"""Execution on a cluster: what runs where, and whose fault a failure is.

A worker is a process that holds the model and its decoder children. It never restarts by itself:
an end of its own is the ledger's to judge, a fault of its node is the node's, and a fresh worker
takes its place.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vfeat.engine.cores import usable_cores
from vfeat.engine.crew import Crew, Lost, Member
from vfeat.engine.executor import Assembled, Beat, Capacity, Event, Finished, Notice, WorkerSpec
from vfeat.engine.feeders import Feeders, feeder_nodes
from vfeat.engine.feeding import Credits, FedSpec
from vfeat.engine.lease_ledger import Ledger, WorkersLost
from vfeat.engine.local_gpus import count_local_gpus, has_local_gpu
from vfeat.engine.machines import Call, Machines, Node, Setup
from vfeat.engine.node_health import NodeHealth
from vfeat.engine.preflight import NodeFacts, Preflight
from vfeat.engine.worker_fault import WorkerFault
from vfeat.engine.worker_places import Wanted, cores_each, no_place
from vfeat.engine.worker_protocol import Progress
from vfeat.errors import (
    DeviceLost,
    EnvironmentMissing,
    JobError,
    NodeDiffers,
    StorageError,
    VfeatError,
)
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables import layout

TICK_S = 0.5
BEAT_S = 1.0
GROW_S = 10.0
SILENCE_S = 60.0  # a worker that gives no sign of life for so long is killed
PLACEMENT_S = 60.0  # workers without a place after so long are reported
LEASES = 2  # one in flight, one prefetched
MOST_LEASES = 8  # of a worker with feeders
UNITS_PER_CORE = 2  # in the hands of a worker, for the cores of its feeders
DEATHS_IN_A_ROW = 6  # workers lost with nothing finished between, at least so many
DEATHS_EACH = 3  # of one worker: as many leases that kill are in hand at once as there are workers
NODES_OUT = "every node that could hold a worker is left out after repeated faults"


@dataclass(frozen=True)
class ClusterSettings:
    """Resources to request from the cluster.

    Attributes:
        wanted: workers and what each of them gets.
        decode_on: nodes that get feeders; see `feeder_nodes`.
    """

    wanted: Wanted = field(default_factory=Wanted)
    decode_on: str = "auto"
    credits: Credits = field(default_factory=Credits)


class ClusterExecutor:
    """Executor whose workers are processes on the nodes of a cluster, or of this machine.

    Args:
        machines: the cluster.
        is_local: it is this machine alone, and is started when it is needed.
    """

    def __init__(self, machines: Machines, settings: ClusterSettings, *, is_local: bool) -> None:
        self.settings = settings
        self._machines = machines
        self._is_local = is_local
        self._is_connected = False
        self._keep_logs = False
        self._crew = Crew(machines)
        self._health = NodeHealth()
        self._preflight = Preflight()
        self._placed: frozenset[str] = frozenset()  # nodes that workers belong on
        self._feeders = Feeders(machines, settings.credits)
        self._connecting = here().lock()  # the driver and its planning thread

    def _connect(self) -> None:
        with self._connecting:
            if not self._is_connected:
                self._machines.connect()
                self._is_connected = True

    def workers(self) -> int:
        wanted = self.settings.wanted
        if wanted.workers:
            return wanted.workers
        if not self._is_connected and self._is_local:
            gpus = count_local_gpus(wanted.device)
            return max(1, int(gpus / wanted.gpus_per_worker))
        self._connect()
        return max(1, len(self._places(self._machines.nodes())))

    def capacity(self) -> Capacity:
        if not self._is_connected and self._is_local:
            workers = self.workers()
            has_gpu = has_local_gpu(self.settings.wanted.device)
            return Capacity(workers, max(1, usable_cores() // workers), has_gpu)
        self._connect()
        nodes = self._machines.nodes()
        places, has_gpu = Counter(self._places(nodes)), self.settings.wanted.uses_gpu(nodes)
        cores = min((cores_each(nodes[name], n) for name, n in places.items()), default=1)
        feeders = feeder_nodes(nodes, places, self.settings.decode_on, has_gpu=has_gpu)
        return Capacity(
            max(1, places.total()), cores, has_gpu,
            len(feeders), sum(int(nodes[name].cpus) for name in feeders),
        )  # fmt: skip

    def _places(self, nodes: Mapping[str, Node]) -> list[str]:
        """Return the node of each worker that the cluster can hold at present."""
        return self.settings.wanted.places(nodes, {member.node for member in self._crew})

    def run(self, spec: WorkerSpec, ledger: Ledger, root: Root) -> Iterator[Event]:
        self._connect()
        now_s = self._machines.now_s
        grow_at = beat_at = now_s()
        no_place_at = now_s() + PLACEMENT_S
        while not ledger.idle:
            if now_s() >= grow_at:
                self._grow(spec, ledger, root)
                grow_at = now_s() + GROW_S
            self._hand_out(ledger)
            if ledger.in_flight or self._crew.is_starting:
                for event in self._collect(ledger, root):
                    if not isinstance(event, Finished | Assembled):
                        grow_at = now_s()  # a worker ended: another one takes its place
                    yield event
            else:
                self._machines.pause(TICK_S)  # the input is being listed, or every node is out
            if self._placed:
                no_place_at = now_s() + PLACEMENT_S
            elif now_s() >= no_place_at:
                no_place_at = math.inf
                yield Notice(no_place(self._machines.nodes()))
            if now_s() >= beat_at:
                beat_at = now_s() + BEAT_S
                # before anything is yielded: whoever handles an event may wait for the store
                lost = self._crew.beat(0) + self._crew.silent(SILENCE_S)
                notices = list(self._feeders.tend(self._crew.ready))
                yield from map(Notice, notices)
                yield Beat(self._crew.counters(), self._feeders.counters())
                for event in self._watch_over(ledger, lost):
                    grow_at = now_s()
                    yield event
        self._crew.beat(2.0, anew=True)
        yield Beat(self._crew.counters(), self._feeders.counters())

    def _grow(self, spec: WorkerSpec, ledger: Ledger, root: Root) -> None:
        """Start workers up to what the cluster holds at present; nodes come and go."""
        nodes = self._machines.nodes()
        places = Counter(self._places(nodes))
        self._placed = frozenset(places)
        ledger.nodes = self._useful_nodes()
        if self._preflight.sample is None:
            self._preflight.sample = ledger.sample()
        missing = places - Counter(member.node for member in self._crew)
        gpus = self.settings.wanted.gpus_per_worker if self.settings.wanted.uses_gpu(nodes) else 0
        is_local = root.local_path("") is not None
        for node in missing.elements():
            if not self._health.can_work(node, self._machines.now_s()):
                continue
            self._feeders.make_room(node)
            cpus = cores_each(nodes[node], places[node])
            memory = int(nodes[node].memory_bytes) // places[node]
            memory = min(spec.memory_bytes(cpus), memory) if isinstance(spec, FedSpec) else 0
            mark = f"{layout.RUNS}/.seen-{here().token()}" if is_local else None
            setup = Setup(spec, cpus, gpus, root, mark, self._preflight.sample, memory)
            handle, ready = self._machines.start(node, setup)
            self._crew.add(node, handle, ready, mark)
        if isinstance(spec, FedSpec):
            held = places.keys() | {member.node for member in self._crew}
            decode_on, has_gpu = self.settings.decode_on, self.settings.wanted.uses_gpu(nodes)
            wanted = feeder_nodes(nodes, held, decode_on, has_gpu=has_gpu)
            self._feeders.grow(spec.feeder(), nodes, wanted)

    def _useful_nodes(self) -> frozenset[str]:
        """Return the nodes that have workers or will have them soon."""
        has_no_place = {member.node for member in self._crew if member.is_reported}
        ready = {member.node for member in self._crew.ready}
        return frozenset(
            node for node in self._placed - (has_no_place - ready) if not self._health.is_out(node)
        )

    def _hand_out(self, ledger: Ledger) -> None:
        """Give every worker one lease before any gets a second one to prefetch.

        A worker with feeders gets more, as long as its units do not keep their cores busy.
        """
        for depth in range(MOST_LEASES):
            for member in self._crew.ready:
                if len(member.leases) > depth:
                    continue
                units = sum(len(lease.units) for lease in member.leases.values())
                wanted = UNITS_PER_CORE * self._feeders.cores_of(member)
                if depth >= LEASES and units >= wanted:
                    continue
                lease = ledger.take(member.name, self._machines.now_s(), member.node)
                if lease is not None:
                    member.leases[self._machines.run(member.handle, lease)] = lease

    def _collect(self, ledger: Ledger, root: Root) -> Iterator[Event]:
        waiting = self._crew.calls()
        for call in self._machines.wait(waiting, TICK_S):
            member = waiting[call]
            if member not in self._crew:  # removed a moment ago with its other lease
                continue
            try:
                result = self._machines.result(call)
            except (WorkerFault, VfeatError) as error:
                yield from self._bury(member, ledger, error)
                continue
            if call is member.ready:
                yield from self._welcome(member, result, ledger, root)
            else:
                yield from self._finish(member, call, result, ledger)

    def _finish(self, member: Member, call: Call, report: Any, ledger: Ledger) -> Iterator[Event]:
        self._health.worked(member.node)
        lease = member.leases.pop(call)
        split = ledger.done(lease, member.name, self._machines.now_s(), report.result)
        if lease.alone is None:
            yield Finished(lease, report, member.node)
        elif split is not None:
            yield Assembled(split.lease, _in_order(split.results))
        for other in self._crew:
            if other.name in ledger.idlers():
                # It is busy with nothing but what others have finished.
                self._crew.remove(other)
                ledger.returned(other.name)
                yield Notice(f"{other.name}: ended; another worker finished its shard first")

    def _welcome(
        self, member: Member, facts: NodeFacts, ledger: Ledger, root: Root
    ) -> Iterator[Event]:
        """Take a worker that is set up, unless its node differs from the others."""
        self._check_mark(member, root)
        try:
            yield from map(Notice, self._preflight.admit(member.node, facts))
        except NodeDiffers as error:
            yield from self._bury(member, ledger, error)
        else:
            member.ready, member.last_sign_s = None, self._machines.now_s()
        if not self._crew.is_starting:
            yield from map(Notice, self._preflight.table())

    def _check_mark(self, member: Member, root: Root) -> None:
        """Look for the file that a worker wrote under a local root.

        Raises:
            JobError: its machine has another folder of that name.
        """
        if member.mark is None:
            return
        if not root.exists(member.mark):
            raise JobError(
                f"{root.uri} on the node {self._shown(member.node)} is another "
                "folder than here: give --out a folder or bucket that all machines share"
            )
        root.delete(member.mark)

    def _bury(
        self, member: Member, ledger: Ledger, error: WorkerFault | VfeatError
    ) -> Iterator[Event]:
        """Remove a worker that failed, and settle whose fault it was.

        Raises:
            VfeatError: the fault is everybody's: the store's, the job's, or one that repeats.
        """
        owner = self._owner(member, error)
        if owner == "cluster":
            assert isinstance(error, WorkerFault)
            raise EnvironmentMissing(
                f"Ray on this machine has ended ({error.first_line}); run the same command again"
            ) from error
        self._crew.remove(member)
        if owner == "nobody":
            ledger.returned(member.name)
            yield Notice(f"{member.name}: lost with its node ({_first_line(error)})")
        elif owner == "node":
            ledger.returned(member.name)
            now_s, shown = self._machines.now_s(), self._shown(member.node)
            outcome = self._health.strike(member.node, error, now_s, shown)
            ledger.nodes = self._useful_nodes()
            yield Notice(f"{member.name}: {outcome}")
            common = self._health.all_fail(set(self._placed))
            if common is not None:
                is_named = isinstance(common, VfeatError)
                raise common if is_named else EnvironmentMissing(*self._last(common, NODES_OUT))
        elif isinstance(error, VfeatError):
            raise error
        else:
            split = ledger.died(member.name)
            yield Notice(f"{member.name} died: {_first_line(error)}")
            if ledger.deaths >= max(DEATHS_IN_A_ROW, DEATHS_EACH * (len(list(self._crew)) + 1)):
                in_a_row = f"{ledger.deaths} workers in a row died before they finished anything"
                raise WorkersLost(*self._last(error, in_a_row))
            if split is not None:
                yield Assembled(split.lease, _in_order(split.results))

    def _owner(self, member: Member, error: WorkerFault | VfeatError) -> str:
        """Return whose fault the end of a worker is.

        A worker that cannot be set up on one node of several is that node's fault.
        """
        may_be_node = member.ready is not None and len(self._placed) > 1
        if isinstance(error, VfeatError):
            node_s = isinstance(error, StorageError | DeviceLost)
            node_s |= may_be_node and isinstance(error, EnvironmentMissing)
            return "node" if node_s else "job"
        if error.owner == "lease" and member.node not in self._machines.nodes():
            return "nobody"
        return "node" if may_be_node and error.owner == "lease" else error.owner

    def _shown(self, node: str) -> str:
        """Return a node's name for people."""
        found = self._machines.nodes().get(node)
        return f"{found.address} ({node[:8]})" if found else node

    def _last(self, error: Exception, reason: str) -> list[str]:
        """Return the message of a run that cannot go on, and the last worker's report by lines."""
        self._keep_logs = True
        told = (
            f"{reason}. What is committed stays, and the same command goes on from there. Ray's "
            f"logs are in {self._machines.logs}. The last worker ended with:"
        )
        tail = error.tail if isinstance(error, WorkerFault) else str(error).splitlines()
        return [told, *tail]

    def _watch_over(self, ledger: Ledger, lost: list[Lost]) -> Iterator[Event]:
        """Bury workers that are lost or silent; report those without a place."""
        for member, error in lost:
            if member in self._crew:
                yield from self._bury(member, ledger, error)
        for member in self._crew:
            silent_s = self._machines.now_s() - member.last_sign_s
            if member.ready is not None and not member.is_reported and silent_s > PLACEMENT_S:
                member.is_reported = True
                free = self._machines.free_resources()
                yield Notice(f"{member.name} has not started for {PLACEMENT_S:.0f} s: {free}")

    def nodes(self) -> tuple[NodeFacts, ...]:
        return self._preflight.facts

    def progress(self) -> tuple[Progress, ...]:
        return self._crew.living_counters()

    def close(self) -> None:
        if self._is_connected:
            self._machines.close(keep_logs=self._keep_logs)
            self._is_connected = False


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _in_order(results: dict[int, Any]) -> tuple[Any, ...]:
    return tuple(results[place] for place in sorted(results))
