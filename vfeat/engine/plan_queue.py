"""Plans of a run on their way into the queue of leases."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from vfeat.engine.lease_queue import LeaseQueue
from vfeat.engine.run_log import RunLog
from vfeat.engine.watch import Totals
from vfeat.plan.unit import Lease
from vfeat.storage.root import Root
from vfeat.tables.layout import plan_of
from vfeat.tables.plans import count_pending

_LOOKED_AT = 4  # plans that are held back, after each batch of the listing


class PlanQueue:
    """The plans that a run works on; those whose leases cannot be handed out yet are held back.

    Used by the thread that plans and the one that works.

    Args:
        root: where the plans are.
        leases: reads the uncommitted leases of a plan.
        is_ready: test whether the leases of a plan can be handed out while the input is listed.
        totals: of the run; what is planned is added.
        log: of the run.

    Attributes:
        leases: queue of all leases that can be handed out.
        names: of all plans.
        committed: shards whose files exist, as far as is known.
        lock: held where the totals change.
    """

    def __init__(
        self,
        root: Root,
        leases: Callable[[str], Iterator[Lease]],
        is_ready: Callable[[str], bool],
        totals: Totals,
        log: RunLog,
    ) -> None:
        self.leases = LeaseQueue()
        self.names: set[str] = set()
        self.committed: AbstractSet[str] = frozenset()
        self.lock = threading.Lock()
        self._root = root
        self._read = leases
        self._is_ready = is_ready
        self._totals = totals
        self._log = log
        self._held: deque[str] = deque()
        self._is_planned = False

    def add(self, plan: str) -> None:
        """Queue the uncommitted shards of a plan."""
        pending = count_pending(self._root, plan, self.committed)
        if not pending.shards:
            return
        with self.lock:
            self.names.add(plan)
            self._totals.shards += pending.shards
            self._totals.planned_clips += pending.clips
            self._totals.planned_videos += pending.videos
        self._log.add("plan", plan=plan, shards=pending.shards, videos=pending.videos)
        # before the lock, which the driver needs for each finished shard: this reads the store
        is_ready = self._is_planned or self._is_ready(plan)
        with self.lock:
            if not self._is_planned and not is_ready:
                self._held.append(plan)
                return
        self.leases.add(self._read(plan))

    def add_again(self, leases: Sequence[Lease]) -> None:
        """Queue leases of committed shards that are to be replaced."""
        with self.lock:
            self.names.update(plan_of(lease.shard) for lease in leases)
            self._totals.shards += len(leases)
            self._totals.planned_clips += sum(lease.clips for lease in leases)
            self._totals.planned_videos += len({u.video_id for x in leases for u in x.units})
        if leases:
            self.leases.add(iter(leases))

    def release(self) -> None:
        """Queue plans that were held back and are ready; looks at a few of them."""
        for _ in range(min(_LOOKED_AT, len(self._held))):
            plan = self._held.popleft()
            if self._is_ready(plan):
                self.leases.add(self._read(plan))
            else:
                self._held.append(plan)

    def end(self) -> None:
        """Queue all that is held back; the input is listed, and the leases end with theirs."""
        with self.lock:
            self._is_planned, held = True, list(self._held)
        for plan in held:
            self.leases.add(self._read(plan))
        self.leases.end()
