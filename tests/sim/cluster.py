"""Simulated nodes, and workers on them that die, hang, answer late, or write after their end."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.engine.pretended import facts
from tests.sim.corpus import Archive
from tests.sim.kernel import Kernel, Killed, Process
from vfeat.engine.machines import Node, Setup
from vfeat.engine.worker_fault import WorkerFault
from vfeat.engine.worker_protocol import Progress, ShardReport, UnitResult
from vfeat.errors import MachineFull, VfeatError
from vfeat.extract.open_shard import known_outcome, publish_shard, reconcile
from vfeat.outcome import Outcome
from vfeat.plan.unit import Lease, Unit
from vfeat.storage.root import Root
from vfeat.tables.features import ClipRow
from vfeat.tables.schema import RowShape

WIDTH = 16
FOREVER = float("inf")
BLAMED = ("die", "raise", "hang", "die after")  # the lease in hand is suspected
MOST_BLAMES = 2  # of a unit that runs alone and is innocent: one less than make an error row


@dataclass
class Fates:
    """How often leases and workers come to harm; shares of leases, and of starts.

    Attributes:
        sudden: of the workers, those that die at some time, whether they have work or not.
        zombie: of the workers that are ended, those that go on for a while.
        lazy_s: how long a loss of a node stays unnoticed, at most.
    """

    die: float = 0.0
    die_after: float = 0.0
    raise_: float = 0.0
    oom: float = 0.0
    full: float = 0.0
    hang: float = 0.0
    slow: float = 0.0
    late_answer: float = 0.0
    bad_start: float = 0.0
    sudden: float = 0.0
    slow_start: float = 0.0
    zombie: float = 0.0
    cluster: float = 0.0
    lazy_s: float = 10.0


@dataclass(eq=False)
class Call:
    """A call to a worker."""

    value: Any = None
    error: Exception | None = None
    is_over: bool = False

    def end(self, value: Any = None, error: Exception | None = None) -> None:
        if not self.is_over:
            self.value, self.error, self.is_over = value, error, True


@dataclass
class Machine:
    """A node; the cluster notices its end some time later."""

    name: str
    is_alive: bool = True
    is_listed: bool = True


@dataclass
class Account:
    """What a run of a driver had done by its workers, and what became of these.

    Attributes:
        starts: of a shard, or of a unit that runs alone.
        ends: of workers that had it in hand.
        blames: how often a fault was injected for which it is suspected.
        deaths, hangs: injected ones.
    """

    starts: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    ends: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    blames: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    hangs: int = 0
    deaths: int = 0


class Worker:
    """A process with one lease in work and another one waiting."""

    def __init__(self, cluster: Cluster, machine: Machine, setup: Setup, owner: str) -> None:
        self.cluster, self.machine, self.setup, self.owner = cluster, machine, setup, owner
        self.kernel = cluster.kernel
        self.process = Process(f"{owner}.w{next(cluster.numbers)}")
        self.ready = Call()
        self.queue: list[tuple[Lease, Call]] = []
        self.calls: list[Call] = [self.ready]
        self.answered: list[Call] = []  # the answers are under way
        self.held: list[tuple[str, int | None]] = []
        self.is_detached = False  # its driver takes no answers of it
        self.is_hung = False
        self.ended: Exception | None = None
        self.counters = Progress(pid=1)
        self.kernel.spawn(self.process, "work", self._live)

    # as its driver calls it

    def submit(self, lease: Lease) -> Call:
        call = Call()
        self.calls.append(call)
        told = self.cluster.told[self.owner]
        told.starts[lease.shard, lease.alone] += 1
        self.held.append((lease.shard, lease.alone))
        self.queue.append((lease, call))
        if self.ended is not None:
            self.fail(self.ended, 1.0)
        elif not self.machine.is_listed:
            self.fail(self.cluster.loss(self.machine), 1.0)
        return call

    def beat(self) -> Call:
        call = Call()
        self.calls.append(call)
        if self.ended is not None:
            self.fail(self.ended, 0.05)
        elif not self.machine.is_listed:
            self.fail(self.cluster.loss(self.machine), 0.05)
        else:
            self.kernel.at(0.05, lambda: self._answer(call))
        return call

    def _answer(self, call: Call) -> None:
        if self.process.is_dead or self.is_detached:
            return  # it has ended, or its driver has
        if self.is_hung:
            self.kernel.at(5.0, lambda: self._answer(call))
            return
        self._deliver(call, self.counters, 0.0)

    def _deliver(self, call: Call, value: Any, seconds: float) -> None:
        if self.is_detached or not self.machine.is_alive:
            return
        if call in self.calls:
            self.calls.remove(call)
        if seconds:
            self.answered.append(call)
            self.kernel.at(seconds, lambda: call.end(value))
        else:
            call.end(value)

    # how it ends

    def end(self, error: Exception, *, after_s: float = 0.0) -> None:
        """End the process; all its calls end with an error."""
        self.process.is_dead = True
        self.ended = error
        self.fail(error, after_s)

    def fail(self, error: Exception, after_s: float = 0.0) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            self.kernel.at(after_s, lambda call=call: call.end(error=error))

    def detach(self) -> None:
        """End, or go on without a driver."""
        told = self.cluster.told[self.owner]
        for held in self.held:
            told.ends[held] += 1
        self.held = []
        self.is_detached = True
        if not self.process.is_dead and self.kernel.happens(self.cluster.fates.zombie):
            self.kernel.fault("zombie", self.process.name)
            return
        self.process.is_dead = True

    # its work

    def _live(self) -> None:
        fates, kernel = self.cluster.fates, self.kernel
        if kernel.happens(fates.slow_start):
            kernel.fault("slow start", self.process.name)
            kernel.sleep(kernel.chance.uniform(30, 200))
        kernel.sleep(kernel.chance.uniform(0.5, 5.0))
        if kernel.happens(fates.bad_start):
            kernel.fault("bad start", self.process.name)
            owner = kernel.chance.choice(["node", "lease"])
            self.cluster.told[self.owner].deaths += owner == "lease"
            self.end(WorkerFault(owner, "simulated: its set-up failed", has_ended=True))
            return
        if self.setup.mark is not None:
            self.setup.root.replace_bytes(self.setup.mark, b"")
        self._deliver(self.ready, facts(self.machine.name), 0.0)
        if kernel.happens(fates.sudden):
            kernel.at(kernel.chance.uniform(1, 150), self._die_suddenly)
        spec = self.setup.spec
        self.root = Root(spec.settings.root, patience_s=spec.settings.patience_s)
        while not (self.is_detached and not self.queue):
            kernel.wait_for(lambda: bool(self.queue) or self.is_detached, FOREVER)
            if self.queue:
                self._work(*self.queue.pop(0))

    def _work(self, lease: Lease, call: Call) -> None:
        kernel, chance = self.kernel, self.kernel.chance
        fate = self._fate(lease)
        kernel.trace(self.process.name, "begins", lease.shard, lease.alone, fate)
        units = lease.to_do(Unit)
        fatal = chance.randrange(len(units)) if fate not in ("", "die after") else -1
        results = []
        for place, unit in enumerate(units):
            kernel.sleep(
                chance.uniform(0.2, 3.0) * self.cluster.pace * (40 if fate == "slow" else 1)
            )
            if place == fatal and self._strike(fate, call):
                return
            film = self.cluster.archive.at(unit.uri)
            if film is not None and film.fault == "killer" and film.etag == unit.etag:
                kernel.trace(self.process.name, "meets a killer", film.name)
                self._die()
            results.append(self._result(unit))
            self.counters.units += 1
            self.counters.clips += len(results[-1].rows)
        outcomes = tuple(result.outcome for result in results)
        if lease.alone is not None:
            report = ShardReport(lease.shard, outcomes, False, 1.0, results[0])
        else:
            try:
                ours = self._publish(lease, results)
            except VfeatError as error:
                kernel.trace(self.process.name, "cannot publish", lease.shard)
                self._drop(call, error)
                return
            report = ShardReport(lease.shard, outcomes, ours, 1.0)
        kernel.trace(self.process.name, "has done", lease.shard, lease.alone)
        if fate == "die after":
            self._die()
        late_s = 0.02
        if kernel.happens(self.cluster.fates.late_answer):
            kernel.fault("late answer", lease.shard)
            late_s = chance.uniform(5, 100)
        # a worker that ends before its driver has the answer ends with the lease
        kernel.at(late_s, lambda: self._let_go(lease))
        self._deliver(call, report, late_s)

    def _let_go(self, lease: Lease) -> None:
        if (lease.shard, lease.alone) in self.held:
            self.held.remove((lease.shard, lease.alone))

    def _publish(self, lease: Lease, results: list[UnitResult]) -> bool:
        spec = self.setup.spec
        shape = RowShape(WIDTH, 1, 1)
        return publish_shard(self.root, lease.shard, results, spec.recipe, shape)

    def _result(self, unit: Unit) -> UnitResult:
        outcome = known_outcome(unit)
        if outcome is None:
            film = self.cluster.archive.at(unit.uri)
            if film is None:
                outcome = unit.failure("storage", f"{unit.uri}: simulated: it is gone")
            else:
                outcome = film.outcome(unit)
        return reconcile(outcome, list(map(row_of, *_clips(unit, outcome))))

    def _fate(self, lease: Lease) -> str:
        """Draw what happens to a lease; not as often as it takes to convict an innocent unit."""
        fates = self.cluster.fates
        told = self.cluster.told[self.owner]
        shares = {
            "die": fates.die, "die after": fates.die_after, "raise": fates.raise_,
            "oom": fates.oom, "full": fates.full, "hang": fates.hang, "slow": fates.slow,
        }  # fmt: skip
        draw = self.kernel.chance.random()
        for fate, share in shares.items():
            draw -= share
            if draw < 0:
                if fate in BLAMED:
                    key = (lease.shard, lease.alone)
                    if lease.alone is not None and told.blames[key] >= MOST_BLAMES:
                        return ""
                    told.blames[key] += 1
                self.kernel.fault(fate, lease.shard, lease.alone)
                return fate
        return ""

    def _strike(self, fate: str, call: Call) -> bool:
        """Let it happen; return whether the lease ends here."""
        kernel = self.kernel
        if fate == "die":
            self._die()
        if fate == "raise":
            self.cluster.told[self.owner].deaths += 1
            self._drop(call, WorkerFault("lease", "simulated: an error that is not vfeat's"))
            return True
        if fate == "oom":
            self.end(WorkerFault("node", "simulated: no memory", has_ended=True), after_s=0.5)
            raise Killed(self.process.name)
        if fate == "full":
            self._drop(call, MachineFull("simulated: the disk is full"))
            return True
        if fate == "hang":
            self.cluster.told[self.owner].hangs += 1
            self.is_hung = True
            if kernel.happens(0.5):
                kernel.sleep(FOREVER)
            kernel.sleep(kernel.chance.uniform(10, 200))
            self.is_hung = False
        return False

    def _drop(self, call: Call, error: Exception) -> None:
        if call in self.calls and not self.is_detached:
            self.calls.remove(call)
            call.end(error=error)

    def _die_suddenly(self) -> None:
        told = self.cluster.told[self.owner]
        suspects = [held for held in self.held if held[1] is not None]
        if self.process.is_dead or any(told.blames[held] >= MOST_BLAMES for held in suspects):
            return
        told.blames.update(suspects)
        told.deaths += 1
        self.kernel.fault("sudden death", self.process.name)
        fault = WorkerFault("lease", "simulated: the process ended", has_ended=True)
        self.end(fault, after_s=self.kernel.chance.uniform(0.1, 2.0))

    def _die(self) -> None:
        self.cluster.told[self.owner].deaths += 1
        fault = WorkerFault("lease", "simulated: the process ended", has_ended=True)
        self.end(fault, after_s=self.kernel.chance.uniform(0.1, 2.0))
        raise Killed(self.process.name)


def _clips(unit: Unit, outcome: Outcome) -> tuple[list[Unit], list[int]]:
    clips = [c for first, last in outcome.row_ranges() for c in range(first, last + 1)]
    return [unit] * len(clips), clips


def row_of(unit: Unit, clip: int) -> ClipRow:
    """Return a row that shows which clip of which video it is of."""
    mark = int(unit.video_id[:6], 16)
    vector = np.zeros(WIDTH, np.float32)
    vector[:2] = mark, clip
    return ClipRow(unit.video_id, unit.uri, clip, float(clip), clip + 1.0, vector)


class Cluster:
    """Nodes that come and go, and the workers of all drivers on them."""

    def __init__(self, kernel: Kernel, archive: Archive, fates: Fates, pace: float) -> None:
        """Make an empty one, whose workers take `pace` times as long for a unit as the quickest."""
        self.pace = pace
        self.kernel, self.archive, self.fates = kernel, archive, fates
        self.machines: dict[str, Machine] = {}
        self.workers: list[Worker] = []
        self.told: dict[str, Account] = {}
        self.numbers = itertools.count(1)
        self._named = itertools.count(1)

    def join(self) -> str:
        """Add a node."""
        name = f"node{next(self._named)}"
        self.machines[name] = Machine(name)
        self.kernel.trace(name, "joins")
        return name

    def leave(self, name: str) -> None:
        """Lose a node, with all that runs there."""
        machine = self.machines[name]
        if not machine.is_alive:
            return
        self.kernel.fault("node lost", name)
        machine.is_alive = False
        is_cut_off = self.kernel.happens(self.fates.zombie)  # it goes on, without a connection
        for worker in self.workers:
            if worker.machine is machine and not is_cut_off:
                worker.process.is_dead = True
        self.kernel.at(self.kernel.chance.uniform(0.5, self.fates.lazy_s), lambda: self._miss(name))

    def _miss(self, name: str) -> None:
        machine = self.machines[name]
        machine.is_listed = False
        self.kernel.trace(name, "is missed")
        for worker in self.workers:
            if worker.machine is machine and not worker.is_detached:
                worker.calls += worker.answered  # an answer that is under way is lost, too
                worker.fail(self.loss(machine))

    def loss(self, machine: Machine) -> WorkerFault:
        """Return the error of calls to a node that is lost."""
        owner = self.kernel.chance.choice(["nobody", "lease"])
        return WorkerFault(owner, f"simulated: {machine.name} is lost", has_ended=True)

    @property
    def living(self) -> list[str]:
        return [name for name, machine in self.machines.items() if machine.is_alive]

    def nodes(self) -> dict[str, Node]:
        """Return the nodes as the cluster lists them."""
        return {
            n: Node(n, f"10.0.0.{n[4:]}", 1, 0) for n, m in self.machines.items() if m.is_listed
        }

    def release(self, owner: str) -> None:
        """End the workers of a driver that has ended."""
        for worker in self.workers:
            if worker.owner == owner and not worker.is_detached:
                worker.detach()
        self.workers = [worker for worker in self.workers if worker.owner != owner]
