"""Units that failed once by what another process may do better: each is decoded a second time.

A crash or a hang is repeated in a fresh child by the child's supervisor. A bug that raised, or a
local disk that did not give the bytes, ends no process, and is repeated here.
"""

from __future__ import annotations

from vfeat.extract.open_shard import OpenShard
from vfeat.outcome import Outcome
from vfeat.plan.unit import Unit
from vfeat.storage.uris import is_local


class OnceMore:
    """Record of the units that are decoded a second time, while their shards are open."""

    def __init__(self) -> None:
        self._repeated: set[tuple[str, str]] = set()

    def take(self, shard: OpenShard, unit: Unit, outcome: Outcome) -> bool:
        """Return whether the unit is to be decoded again; its outcome is dropped then."""
        name = shard.lease.shard, unit.key
        classes = {error.error_class for error in outcome.errors if error.attempts == 1}
        is_doubtful = "internal" in classes or ("storage" in classes and is_local(unit.uri))
        if unit.error_class is not None or not is_doubtful or name in self._repeated:
            return False
        self._repeated.add(name)
        return True

    def settled(self, shard: OpenShard, unit: Unit, outcome: Outcome) -> Outcome:
        """Return the final outcome of a unit, with the attempt before it counted."""
        name = shard.lease.shard, unit.key
        if name not in self._repeated:
            return outcome
        self._repeated.discard(name)
        return outcome.after(1)
