"""The feeders of a run as their driver handles them: where each is, and which worker it feeds.

Nothing here touches a lease: what a lost feeder had in hand, its worker gives to others. A node on
which feeders fail rests, and does without one in the end; nobody else is blamed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vfeat.engine.crew import Member
from vfeat.engine.feeding import Attachment, Credits, FeederSpec
from vfeat.engine.machines import Call, FeederSetup, Handle, Machines, Node
from vfeat.engine.node_health import NodeHealth
from vfeat.engine.worker_fault import WorkerFault
from vfeat.engine.worker_protocol import Progress
from vfeat.errors import VfeatError

SILENCE_S = 60.0  # a feeder that gives no sign of life for so long is killed
UNHEARD_S = 10.0  # a worker that does not name a feeder for so long has lost it


@dataclass(eq=False)
class _Feeder:
    """The driver's view of one feeder.

    Attributes:
        ready: the call that sets it up; None when that is done.
        beat: the request for counters that is under way.
        last_sign_s: when it was asked for, or when its last counters came.
        worker: whom it feeds.
        session: of its latest attachment.
        heard_s: when it was attached, or when the worker last named it.
    """

    name: str
    node: str
    cores: int
    handle: Handle
    ready: Call | None
    last_sign_s: float
    beat: Call | None = None
    progress: Progress | None = None
    worker: Member | None = None
    session: int = 0
    heard_s: float = 0.0


def feeder_nodes(
    nodes: Mapping[str, Node], held: Collection[str], decode_on: str, *, has_gpu: bool
) -> list[str]:
    """Return the nodes that are to have a feeder, one each.

    Args:
        held: nodes with workers.
        decode_on: encode-nodes: none; all: those with cores and without a worker; auto: the same
            if the workers have GPUs. A worker on CPUs gains more from a worker beside it.
        has_gpu: the workers have GPUs.
    """
    if decode_on == "encode-nodes" or (decode_on == "auto" and not has_gpu):
        return []
    return [name for name, node in nodes.items() if node.cpus >= 1 and name not in held]


class Feeders:
    """The living feeders of a run."""

    def __init__(self, machines: Machines, credits: Credits) -> None:
        self._machines, self._credits = machines, credits
        self._feeders: list[_Feeder] = []
        self._health = NodeHealth()
        self._named = self._sessions = 0

    def grow(self, spec: FeederSpec, nodes: Mapping[str, Node], wanted: Sequence[str]) -> None:
        """Start the feeders that are missing."""
        have = {feeder.node for feeder in self._feeders}
        now_s = self._machines.now_s()
        for name in wanted:
            if name in have or not self._health.can_work(name, now_s):
                continue
            node = nodes[name]
            cores = int(node.cpus)
            memory = min(spec.memory_bytes(cores), int(node.memory_bytes))
            setup = FeederSetup(spec, cores, memory, self._credits.pulls)
            handle, ready = self._machines.start_feeder(name, setup)
            self._named += 1
            self._feeders.append(
                _Feeder(f"feeder-{self._named}", name, cores, handle, ready, now_s)
            )

    def make_room(self, node: str) -> None:
        """End the feeder of a node, if it has one: a worker is to have its cores."""
        for feeder in [f for f in self._feeders if f.node == node]:
            self._remove(feeder)

    def cores_of(self, worker: Member) -> int:
        """Return the cores of the feeders of a worker, all together."""
        return sum(feeder.cores for feeder in self._feeders if feeder.worker is worker)

    def counters(self) -> tuple[Progress, ...]:
        """Return the latest counters of the living feeders."""
        return tuple(f.progress for f in self._feeders if f.progress is not None)

    def tend(self, workers: Sequence[Member]) -> Iterator[str]:
        """Look after all feeders, to be called often; yield sentences on those that ended.

        Args:
            workers: those that are set up.
        """
        for feeder in list(self._feeders):
            try:
                self._look_at(feeder)
            except (WorkerFault, VfeatError) as error:
                self._remove(feeder)
                outcome = self._health.strike(feeder.node, error, self._machines.now_s())
                yield f"{feeder.name} ended, and what it had in hand goes to others; {outcome}"
        self._let_go(workers)
        self._assign(workers)

    def _look_at(self, feeder: _Feeder) -> None:
        """Take what has come from a feeder.

        Raises:
            WorkerFault: it ended, or gives no sign of life.
            VfeatError: its node cannot do such work.
        """
        call, now_s = feeder.ready or feeder.beat, self._machines.now_s()
        if call is not None and self._machines.wait([call], 0):
            result = self._machines.result(call)
            feeder.last_sign_s = now_s
            if feeder.ready is None:
                if feeder.progress is not None and result.clips > feeder.progress.clips:
                    self._health.worked(feeder.node)
                feeder.progress = result
            feeder.ready = feeder.beat = None
        if feeder.ready is not None:
            return  # it waits for its place, as long as it takes: the run goes on without it
        if now_s - feeder.last_sign_s > SILENCE_S:
            reason = f"no sign of life for {SILENCE_S:.0f} s; killed"
            raise WorkerFault("node", reason)
        if feeder.beat is None:
            feeder.beat = self._machines.progress(feeder.handle)

    def _remove(self, feeder: _Feeder) -> None:
        self._machines.kill(feeder.handle)
        self._feeders.remove(feeder)

    def _let_go(self, workers: Sequence[Member]) -> None:
        """Forget attachments to workers that ended, or that have lost the feeder."""
        for feeder in self._feeders:
            worker = feeder.worker
            if worker is None:
                continue
            if worker.progress is not None and feeder.session in worker.progress.feeds:
                feeder.heard_s = max(feeder.heard_s, worker.last_sign_s)
            unheard = worker.last_sign_s - feeder.heard_s > UNHEARD_S
            if worker not in workers or unheard:
                feeder.worker = None

    def _assign(self, workers: Sequence[Member]) -> None:
        """Attach feeders without a worker, and move one where that evens out the cores."""
        if not workers:
            return
        for feeder in self._feeders:
            if feeder.ready is None and feeder.worker is None:
                self._attach(feeder, min(workers, key=self.cores_of))
        poorest, richest = min(workers, key=self.cores_of), max(workers, key=self.cores_of)
        gap = self.cores_of(richest) - self.cores_of(poorest)
        for feeder in self._feeders:
            if feeder.worker is richest and feeder.cores < gap:
                self._attach(feeder, poorest)
                return

    def _attach(self, feeder: _Feeder, worker: Member) -> None:
        self._sessions += 1
        feeder.worker, feeder.session = worker, self._sessions
        feeder.heard_s = self._machines.now_s()
        attachment = Attachment(feeder.session, feeder.cores, self._credits)
        self._machines.attach(worker.handle, feeder.handle, attachment)
