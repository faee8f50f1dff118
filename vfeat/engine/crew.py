"""The workers of a run as their driver handles them: where each is, what it holds, its counters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vfeat.engine.machines import Call, Handle, Machines
from vfeat.engine.worker_fault import WorkerFault
from vfeat.engine.worker_protocol import Progress
from vfeat.errors import VfeatError
from vfeat.plan.unit import Lease

_SUMS = (
    "clips", "units", "fed_clips", "run_s", "encode_s", "hand_over_s", "wait_s", "read_s",
    "decode_s", "blocked_s", "write_s", "child_s",
)  # fmt: skip


@dataclass(eq=False)
class Member:
    """The driver's view of one worker.

    Attributes:
        node: name of the node that it was asked for.
        ready: the call that sets it up; None when that is done.
        last_sign_s: when it was asked for, or its counters were, or when the last ones came.
        mark: a file that it writes under a local root, and the driver must see.
        is_reported: a notice on its missing place was given.
        leases: calls in progress.
        beat: the request for counters that is under way.
    """

    name: str
    node: str
    handle: Handle
    ready: Call | None
    last_sign_s: float
    mark: str | None = None
    is_reported: bool = False
    leases: dict[Call, Lease] = field(default_factory=dict)
    beat: Call | None = None
    progress: Progress | None = None


Lost = tuple[Member, WorkerFault | VfeatError]  # a worker, and what ended it


class Crew:
    """The living workers, in the order of their start."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._members: list[Member] = []
        self._named = 0
        self._lost = Progress(pid=0)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members))

    def __contains__(self, member: Member) -> bool:
        return member in self._members

    @property
    def ready(self) -> list[Member]:
        """Workers that are set up."""
        return [member for member in self._members if member.ready is None]

    @property
    def is_starting(self) -> bool:
        """True while a worker is being set up."""
        return any(member.ready is not None for member in self._members)

    def add(self, node: str, handle: Handle, ready: Call, mark: str | None) -> None:
        """Add a worker that was started a moment ago."""
        self._named += 1
        now_s = self._machines.now_s()
        name = f"worker-{self._named}"
        self._members.append(Member(name, node, handle, ready, now_s, mark))

    def remove(self, member: Member) -> None:
        """End a worker and keep what it has counted."""
        # Also after an exception that is not ours: a GPU that fell off the bus raises for ever,
        # and only a fresh process may do better.
        self._machines.kill(member.handle)
        self._members.remove(member)
        if (seen := member.progress) is not None:
            self._lost.device = seen.device
            for name in _SUMS:
                setattr(self._lost, name, getattr(self._lost, name) + getattr(seen, name))

    def calls(self) -> dict[Call, Member]:
        """Return the calls that are in progress, beats left out."""
        found = {call: member for member in self._members for call in member.leases}
        found |= {m.ready: m for m in self._members if m.ready is not None}
        return found

    def beat(self, wait_s: float, *, anew: bool = False) -> list[Lost]:
        """Request the counters of all workers, and take those that have come.

        Args:
            wait_s: for the answer of each.
            anew: take no answer to an earlier request, which may be older than the last lease.

        Returns:
            Workers that are lost and have no lease whose end would show it.
        """
        lost: list[Lost] = []
        for member in self.ready:
            if member.beat is None or anew:
                member.beat = self._machines.progress(member.handle)
                # a driver that waited for its store asks late, and silence begins with a question
                member.last_sign_s = self._machines.now_s()
            if self._machines.wait([member.beat], wait_s):
                try:
                    member.progress = self._machines.result(member.beat)
                except (WorkerFault, VfeatError) as error:
                    if not member.leases:
                        lost.append((member, error))
                    continue  # leases end in the same way, and are settled there
                member.beat, member.last_sign_s = None, self._machines.now_s()
        return lost

    def silent(self, seconds: float) -> list[Lost]:
        """Return the workers that have not answered for so long."""
        now_s = self._machines.now_s()
        fault = WorkerFault("lease", f"no sign of life for {seconds:.0f} s; killed")
        return [
            (member, fault)
            for member in self.ready
            if member.beat is not None and now_s - member.last_sign_s > seconds
        ]

    def counters(self) -> tuple[Progress, ...]:
        """Return the latest counters of the living workers, and the sums of the lost ones."""
        living = self.living_counters()
        return (*living, self._lost) if self._lost.clips else living

    def living_counters(self) -> tuple[Progress, ...]:
        """Return the latest counters of the living workers; safe from another thread."""
        return tuple(m.progress for m in list(self._members) if m.progress is not None)
