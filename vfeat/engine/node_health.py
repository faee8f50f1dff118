"""Nodes that cannot work at present: their disk, their memory, their way to the store.

A node's fault is no unit's: its leases go elsewhere, and it rests for longer and longer before it
is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass

from vfeat.errors import MachineFull, StorageError

FIRST_REST_S = 15.0
STRIKES_OUT = 4


@dataclass
class _Strikes:
    count: int
    until_s: float
    error: Exception

    @property
    def is_final(self) -> bool:
        return self.count >= STRIKES_OUT or (
            isinstance(self.error, StorageError) and not isinstance(self.error, MachineFull)
        )


class NodeHealth:
    """Record of the nodes whose workers failed through no fault of a unit."""

    def __init__(self) -> None:
        self._strikes: dict[str, _Strikes] = {}

    def strike(self, node: str, error: Exception, now_s: float) -> str:
        """Count a fault of a node; return a sentence on what follows."""
        count = self._strikes[node].count + 1 if node in self._strikes else 1
        rest_s = FIRST_REST_S * 2 ** (count - 1)
        self._strikes[node] = _Strikes(count, now_s + rest_s, error)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if count >= STRIKES_OUT:
            return f"node {node} is left out after {count} faults: {reason}"
        return f"node {node} rests for {rest_s:.0f} s: {reason}"

    def worked(self, node: str) -> None:
        """Forget the faults of a node that finished something."""
        self._strikes.pop(node, None)

    def can_work(self, node: str, now_s: float) -> bool:
        """Return whether a node may have workers now."""
        strikes = self._strikes.get(node)
        return strikes is None or (strikes.count < STRIKES_OUT and now_s >= strikes.until_s)

    def all_fail(self, nodes: set[str]) -> Exception | None:
        """Return the latest fault when none of these nodes can go on; None otherwise.

        A store that is away has been waited for already by whoever raised its error; every other
        fault of a node is given its rests.
        """
        faults = [self._strikes.get(node) for node in nodes]
        final = [f for f in faults if f is not None and f.is_final]
        if not faults or len(final) < len(faults):
            return None
        return max(final, key=lambda fault: fault.until_s).error
