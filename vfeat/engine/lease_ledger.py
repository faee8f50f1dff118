"""State of all leases: which worker holds which shard, and what follows a worker's death.

pending ──take──▶ in flight ──done──▶ finished
   ▲                  │ died (blame: the worker's oldest lease)
   └── once or twice ─┘
killed twice  ──▶ its units one by one, each alone on a worker, nothing published
a unit that kills when alone ──▶ an error row (its third death: twice with its shard)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from vfeat.engine.lease_queue import LeaseQueue
from vfeat.engine.worker_protocol import UnitResult
from vfeat.errors import VfeatError
from vfeat.plan.unit import Lease

SHARD_KILLS = 2
UNIT_KILLS = 3
SPECULATE_AFTER = 3.0  # times the longest finished lease


@dataclass
class _Held:
    lease: Lease
    worker: str
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
    """All state of the engine besides the plan and the listing."""

    def __init__(self, leases: LeaseQueue) -> None:
        self._source = leases
        self._again: deque[Lease] = deque()
        self._held: list[_Held] = []
        self._kills: dict[str, int] = {}
        self._splits: dict[str, _Split] = {}
        self._finished: set[str] = set()
        self._longest_s = 0.0
        self.stopping = False

    def take(self, worker: str, now_s: float) -> Lease | None:
        """Return the next lease for a worker, or None when there is none at present."""
        if self.stopping:
            return None
        lease = self._again.popleft() if self._again else self._source.take()
        if lease is None and self._source.exhausted:
            lease = self._slow(worker, now_s)
        if lease is not None:
            self._held.append(_Held(lease, worker, now_s))
        return lease

    def _slow(self, worker: str, now_s: float) -> Lease | None:
        """Return the slowest lease for a second run; the commit accepts one of the two."""
        limit_s = max(60.0, SPECULATE_AFTER * self._longest_s)
        names = [held.lease.shard for held in self._held]
        for held in sorted(self._held, key=lambda held: held.since_s):
            once = names.count(held.lease.shard) == 1
            slow = self._longest_s > 0 and now_s - held.since_s > limit_s
            if slow and once and held.lease.alone is None and held.worker != worker:
                return held.lease
        return None

    def done(
        self, lease: Lease, worker: str, now_s: float, result: UnitResult | None = None
    ) -> _Split | None:
        """Record a finished lease; return a split shard when this was its last missing unit."""
        for held in list(self._held):
            if held.worker == worker and held.lease is lease:
                self._longest_s = max(self._longest_s, now_s - held.since_s)
                self._held.remove(held)
        if lease.alone is None:
            self._finished.add(lease.shard)
            return None
        assert result is not None
        return self._part(lease, lease.alone, result)

    def died(self, worker: str) -> _Split | None:
        """Record a worker's death: its oldest lease is blamed, the others return to the queue."""
        mine = sorted((h for h in self._held if h.worker == worker), key=lambda h: h.since_s)
        self._held = [h for h in self._held if h.worker != worker]
        for held in mine[1:]:
            self._again.appendleft(held.lease)
        return self._blame(mine[0].lease) if mine else None

    def _blame(self, lease: Lease) -> _Split | None:
        if lease.shard in self._finished:
            return None
        if lease.alone is not None:
            return self._part(lease, lease.alone, _crashed(lease, lease.alone))
        self._kills[lease.shard] = self._kills.get(lease.shard, 0) + 1
        if self._kills[lease.shard] < SHARD_KILLS:
            self._again.append(lease)
            return None
        self._splits[lease.shard] = _Split(lease)
        self._again.extend(replace(lease, alone=place) for place in range(len(lease.units)))
        return None

    def _part(self, lease: Lease, place: int, result: UnitResult) -> _Split | None:
        split = self._splits[lease.shard]
        split.results[place] = result
        if not split.complete:
            return None
        self._finished.add(lease.shard)
        return self._splits.pop(lease.shard)

    @property
    def in_flight(self) -> int:
        return len(self._held)

    @property
    def idle(self) -> bool:
        """Return whether no lease is held and none is left to give out."""
        rest = self._again or not self._source.exhausted
        return not self._held and (self.stopping or not rest)


def _crashed(lease: Lease, place: int) -> UnitResult:
    unit = lease.units[place]
    message = (
        f"{unit.uri}: the worker process died each time it had this unit "
        f"({UNIT_KILLS} times, the last time alone)"
    )
    return UnitResult(unit.failure("crashed", message, UNIT_KILLS), ())


class WorkersLost(VfeatError):
    """Error: workers die before they finish any lease."""
