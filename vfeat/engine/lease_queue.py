"""The leases of a run, as they become known: work begins while the input is still listed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from vfeat.plan.unit import Lease
from vfeat.surroundings import here


class LeaseQueue:
    """Queue of groups of leases: several threads add, one takes.

    A group is read when its turn comes, so that a thousand plans cost no memory.
    """

    def __init__(self) -> None:
        self._groups: deque[Iterator[Lease]] = deque()
        self._changed = here().changed()
        self._ended = False

    def add(self, leases: Iterator[Lease]) -> None:
        """Add leases behind all others; at any time, also after `end`."""
        with self._changed:
            self._groups.append(leases)
            self._changed.notify_all()

    def end(self) -> None:
        """Declare that the input has been listed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self) -> Lease | None:
        """Return the next lease; None when there is none at present."""
        while self._groups:
            lease = next(self._groups[0], None)
            if lease is not None:
                return lease
            self._groups.popleft()
        return None

    def peek(self) -> Lease | None:
        """Return the lease that `take` returns next; None when there is none at present."""
        lease = self.take()
        if lease is not None:
            with self._changed:
                self._groups.appendleft(iter([lease]))
        return lease

    @property
    def is_empty(self) -> bool:
        """True when no group of leases waits."""
        return not self._groups

    @property
    def has_ended(self) -> bool:
        """True when the input has been listed."""
        return self._ended

    @property
    def exhausted(self) -> bool:
        """True when the input has been listed and every lease was taken."""
        return self._ended and not self._groups

    def wait(self, seconds: float) -> bool:
        """Wait until there is a lease or an end; return whether there is either."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._groups) or self._ended, seconds)
