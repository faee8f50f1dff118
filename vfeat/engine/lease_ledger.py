"""State of all leases: which worker holds which shard, and what follows a worker's end.

pending ──take──▶ in flight ──done──▶ finished
   ▲                  │ died of itself (blame: the worker's oldest lease)
   └── once or twice ─┘
killed twice  ──▶ its units one by one, each alone on a worker, nothing published
a unit that kills three times when alone, on different nodes where there are ──▶ an error row

A worker that is lost with its node, preempted or evicted blames nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from vfeat.engine.lease_queue import LeaseQueue
from vfeat.engine.worker_protocol import UnitResult
from vfeat.errors import VfeatError
from vfeat.plan.unit import Lease, Unit

SHARD_KILLS = 2
UNIT_KILLS = 3
SPECULATE_AFTER = 3.0  # times the longest finished lease
SPECULATE_LEAST_S = 60.0


@dataclass
class _Held:
    lease: Lease
    worker: str
    node: str
    since_s: float


@dataclass
class _Split:
    """A shard being done unit by unit."""

    lease: Lease
    results: dict[int, UnitResult] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.results) == len(self.lease.units)


class Ledger:
    """All state of the engine besides the plan and the listing.

    Attributes:
        stopping: no more leases are given out; those in flight are finished.
        nodes: names of the nodes that have workers or will have them soon; what is to be tried on
            another node is tried on these.
        deaths: workers that died of themselves since the last lease was finished. Where machines
            are proven, those of one suspect count once: they show nothing new about the machines.
        is_proven: workers can work, since one has finished something; or what they are given is
            known to fail.
    """

    def __init__(self, leases: LeaseQueue) -> None:
        self._source = leases
        self._again: deque[Lease] = deque()
        self._suspects: deque[Lease] = deque()  # each to be alone on its worker
        self._held: list[_Held] = []
        self._kills: dict[str, int] = {}
        self._killed_on: dict[tuple[str, int], list[str]] = {}
        self._splits: dict[str, _Split] = {}
        self._finished: set[str] = set()
        self._longest_s = 0.0
        self.is_proven = False
        self.stopping = False
        self.nodes: Collection[str] = ()
        self.deaths = 0

    def take(self, worker: str, now_s: float, node: str = "") -> Lease | None:
        """Return the next lease for a worker, or None when there is none for it at present.

        Args:
            worker: name of the worker.
            now_s: seconds of a monotonic clock.
            node: name of the worker's node.
        """
        if self.stopping:
            return None
        mine = [held.lease for held in self._held if held.worker == worker]
        if any(lease.alone is not None for lease in mine):
            return None
        lease = self._next(mine, worker, now_s, node)
        if lease is not None:
            self._held.append(_Held(lease, worker, node, now_s))
        return lease

    def sample(self) -> str | None:
        """Return the address of a video that is read soon; None where there is none."""
        lease = self._source.peek()
        units = () if lease is None else lease.units
        readable = (u.uri for u in units if isinstance(u, Unit) and u.error_class is None)
        return next(readable, None)

    def _next(self, mine: list[Lease], worker: str, now_s: float, node: str) -> Lease | None:
        if self._suspects:
            if mine:
                return None  # so that some worker becomes free for it
            if (suspect := self._suspect(node)) is not None:
                return suspect
        if (lease := self._returned(node)) is not None:
            return lease
        while (lease := self._source.take()) is not None:
            if not self._belongs_elsewhere(lease, node):
                return lease
            self._again.append(lease)
        return self._slow(worker, now_s, node) if self._source.exhausted and not mine else None

    def _returned(self, node: str) -> Lease | None:
        """Return a lease that was put back, if there is one for this node."""
        for place, lease in enumerate(self._again):
            if lease.shard not in self._finished and not self._belongs_elsewhere(lease, node):
                del self._again[place]
                return lease
        return None

    def _belongs_elsewhere(self, lease: Lease, node: str) -> bool:
        """Return whether a lease is to be tried on another node, and there is one."""
        return node in lease.avoid and not lease.avoid.issuperset(self.nodes)

    def _suspect(self, node: str) -> Lease | None:
        """Return a suspect for a node on which it has not killed yet, where there is such a one."""
        for place, lease in enumerate(self._suspects):
            tried = self._killed_on.get(_unit_of(lease), [])
            if node not in tried or set(self.nodes) <= set(tried):
                del self._suspects[place]
                return lease
        return None

    def _slow(self, worker: str, now_s: float, node: str) -> Lease | None:
        """Return the slowest lease for a second run; the commit accepts one of the two."""
        limit_s = max(SPECULATE_LEAST_S, SPECULATE_AFTER * self._longest_s)
        names = [held.lease.shard for held in self._held]
        for held in sorted(self._held, key=lambda held: held.since_s):
            shard = held.lease.shard
            slow = self._longest_s > 0 and now_s - held.since_s > limit_s
            once = names.count(shard) == 1 and shard not in self._finished
            other = held.worker != worker and not self._belongs_elsewhere(held.lease, node)
            if slow and once and other and held.lease.alone is None:
                return held.lease
        return None

    def done(
        self, lease: Lease, worker: str, now_s: float, result: UnitResult | None = None
    ) -> _Split | None:
        """Record a finished lease; return a split shard when this was its last missing unit."""
        self.deaths = 0
        self.is_proven = True
        for held in list(self._held):
            if held.worker == worker and held.lease is lease:
                self._longest_s = max(self._longest_s, now_s - held.since_s)
                self._held.remove(held)
        if lease.alone is None:
            self._finished.add(lease.shard)
            return None
        assert result is not None
        return self._part(lease, lease.alone, result)

    def idlers(self) -> set[str]:
        """Return workers that are busy with nothing but shards that others have finished."""
        busy = {held.worker for held in self._held}
        useful = {h.worker for h in self._held if h.lease.shard not in self._finished}
        return busy - useful

    def returned(self, worker: str) -> None:
        """Put back all leases of a worker that was lost through no fault of theirs."""
        for held in self._release(worker):
            self._put_back(held.lease)

    def died(self, worker: str) -> _Split | None:
        """Record a worker that died of itself: its oldest lease is blamed, the others go back."""
        mine = self._release(worker)
        if not (self.is_proven and mine and self._has_killed(mine[0].lease)):
            self.deaths += 1
        for held in mine[1:]:
            self._put_back(held.lease)
        return self._blame(mine[0]) if mine else None

    def _has_killed(self, lease: Lease) -> bool:
        if lease.alone is None:
            return lease.shard in self._kills
        return _unit_of(lease) in self._killed_on

    def _release(self, worker: str) -> list[_Held]:
        mine = sorted((h for h in self._held if h.worker == worker), key=lambda h: h.since_s)
        self._held = [h for h in self._held if h.worker != worker]
        return mine

    def _put_back(self, lease: Lease) -> None:
        if lease.shard in self._finished:
            return
        if lease.alone is None:
            self._again.appendleft(lease)
        else:
            self._suspects.appendleft(lease)

    def _blame(self, held: _Held) -> _Split | None:
        lease = held.lease
        if lease.shard in self._finished:
            return None
        if lease.alone is not None:
            return self._blame_unit(lease, lease.alone, held.node)
        if lease.shard in self._splits:  # a second copy of a shard that is done unit by unit
            return None
        self._kills[lease.shard] = self._kills.get(lease.shard, 0) + 1
        if self._kills[lease.shard] < SHARD_KILLS:
            self._again.append(lease)
            return None
        self._splits[lease.shard] = _Split(lease)
        self._suspects.extend(replace(lease, alone=place) for place in range(len(lease.units)))
        return None

    def _blame_unit(self, lease: Lease, place: int, node: str) -> _Split | None:
        tried = self._killed_on.setdefault(_unit_of(lease), [])
        tried.append(node)
        if len(tried) < UNIT_KILLS:
            self._suspects.append(lease)
            return None
        return self._part(lease, place, _crashed(lease, place, len(set(tried))))

    def _part(self, lease: Lease, place: int, result: UnitResult) -> _Split | None:
        split = self._splits.get(lease.shard)
        if split is None:  # another copy of the shard was finished meanwhile
            return None
        self.deaths = 0
        split.results[place] = result
        if not split.complete:
            return None
        self._finished.add(lease.shard)
        return self._splits.pop(lease.shard)

    @property
    def in_flight(self) -> int:
        """Number of leases that are held and whose shard is not finished."""
        return sum(held.lease.shard not in self._finished for held in self._held)

    @property
    def idle(self) -> bool:
        """Return whether nothing useful is held and nothing is left to give out."""
        again = any(lease.shard not in self._finished for lease in self._again)
        rest = again or self._suspects or not self._source.exhausted
        return not self.in_flight and (self.stopping or not rest)


def _unit_of(lease: Lease) -> tuple[str, int]:
    assert lease.alone is not None
    return lease.shard, lease.alone


def _crashed(lease: Lease, place: int, nodes: int) -> UnitResult:
    unit = lease.units[place]
    where = f", on {nodes} nodes" if nodes > 1 else ""
    message = (
        f"{unit.uri}: the worker process died each time it had this unit alone "
        f"({UNIT_KILLS} times{where})"
    )
    before = unit.attempts if isinstance(unit, Unit) else 0
    return UnitResult(unit.failure("crashed", message, before + UNIT_KILLS), ())


class WorkersLost(VfeatError):
    """Error: workers die before they finish any lease."""
