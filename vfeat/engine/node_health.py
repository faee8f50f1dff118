"""Nodes that cannot work at present: their disk, their memory, their way to the store.

A node's fault is no unit's: its leases go elsewhere, and it rests for longer and longer before it
is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass

from vfeat.engine.preflight import together
from vfeat.errors import DeviceLost, EnvironmentMissing, MachineFull, StorageError

FIRST_REST_S = 15.0
STRIKES_OUT = 4


@dataclass
class _Strikes:
    count: int
    until_s: float
    error: Exception

    @property
    def lacks_something(self) -> bool:
        """True where a rest mends nothing: versions, weights, a package."""
        return isinstance(self.error, EnvironmentMissing) and not isinstance(self.error, DeviceLost)

    @property
    def is_out(self) -> bool:
        return self.count >= STRIKES_OUT or self.lacks_something

    @property
    def is_final(self) -> bool:
        is_store = isinstance(self.error, StorageError) and not isinstance(self.error, MachineFull)
        return self.is_out or is_store


class NodeHealth:
    """Record of the nodes whose workers failed through no fault of a unit."""

    def __init__(self) -> None:
        self._strikes: dict[str, _Strikes] = {}

    def strike(self, node: str, error: Exception, now_s: float, shown: str = "") -> str:
        """Count a fault of a node; return a sentence on what follows.

        Args:
            node: its name.
            error: the fault.
            now_s: seconds of a monotonic clock.
            shown: its name for people.
        """
        count = self._strikes[node].count + 1 if node in self._strikes else 1
        rest_s = FIRST_REST_S * 2 ** (count - 1)
        strikes = self._strikes[node] = _Strikes(count, now_s + rest_s, error)
        name = shown or node
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if strikes.lacks_something:
            return f"node {name} is left out: {reason}"
        if strikes.is_out:
            return f"node {name} is left out after {count} faults: {reason}"
        return f"node {name} rests for {rest_s:.0f} s: {reason}"

    def worked(self, node: str) -> None:
        """Forget the faults of a node that finished something."""
        self._strikes.pop(node, None)

    def can_work(self, node: str, now_s: float) -> bool:
        """Return whether a node may have workers now."""
        strikes = self._strikes.get(node)
        return strikes is None or (not strikes.is_out and now_s >= strikes.until_s)

    def is_out(self, node: str) -> bool:
        """Return whether a node is left out for the rest of the run."""
        return node in self._strikes and self._strikes[node].is_out

    def all_fail(self, nodes: set[str]) -> Exception | None:
        """Return the latest fault when none of these nodes can go on; None otherwise.

        A store that is away has been waited for already by whoever raised its error; every other
        fault of a node is given its rests.
        """
        faults = [self._strikes.get(node) for node in nodes]
        final = [f for f in faults if f is not None and f.is_final]
        if not faults or len(final) < len(faults):
            return None
        if len(final) > 1 and all(fault.lacks_something for fault in final):
            return together([fault.error for fault in final])
        return max(final, key=lambda fault: fault.until_s).error
