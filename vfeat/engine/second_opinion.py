"""Failures that may be a node's: what failed on one node is tried on another before it stands.

A crash, a time-out, a store's refusal or a bug has met a unit in two processes of one node. Where
there are several nodes, a sample of each node's failures of each class is done again elsewhere;
when one of the sample succeeds there, so are all others. A corpus that is truly bad costs samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vfeat.errors import ErrorClass
from vfeat.outcome import Outcome, RangeError
from vfeat.plan.unit import Lease, Unit

SAMPLE = 25  # of each node and class
DOUBTFUL: tuple[ErrorClass, ...] = ("crashed", "timeout", "storage", "internal")

Key = tuple[str, int]  # video_id and first clip
Group = tuple[str, ErrorClass]  # node and class


@dataclass(frozen=True)
class Doubt:
    """A range of clips that failed in a way that may be a node's.

    Attributes:
        key: video and first clip.
        node: name of the node; empty where it is not known.
        is_whole: it is the only failure of its unit.
        is_earlier: another run committed it.
    """

    key: Key
    error: RangeError
    node: str
    is_whole: bool
    is_earlier: bool

    @property
    def group(self) -> Group:
        """Node and class."""
        return self.node, self.error.error_class


class SecondOpinions:
    """Record of doubtful failures, of those that are tried on other nodes, and of what came out."""

    def __init__(self) -> None:
        self._waiting: dict[Group, list[Doubt]] = defaultdict(list)
        self._tried: dict[Key, Doubt] = {}
        self._sampled: set[Group] = set()
        self._healed: set[Group] = set()

    def note(
        self, lease: Lease, outcomes: Iterable[Outcome], node: str, *, is_earlier: bool = False
    ) -> None:
        """Take the doubtful failures of a committed shard; what was tried before counts."""
        first_tried = {
            unit.key
            for unit in lease.units
            if isinstance(unit, Unit) and not unit.attempts and not lease.again
        }
        for outcome in outcomes:
            if f"{outcome.video_id}:{outcome.first_clip}" not in first_tried:
                continue
            for error in outcome.errors:
                if error.error_class in DOUBTFUL:
                    key = (outcome.video_id, error.first_clip)
                    whole = len(outcome.errors) == 1
                    doubt = Doubt(key, error, node, whole, is_earlier)
                    self._waiting[doubt.group].append(doubt)

    def next_round(self) -> list[Doubt]:
        """Return what is to be tried on other nodes: samples, and all of a group that healed."""
        chosen: list[Doubt] = []
        for group, doubts in self._waiting.items():
            if group in self._healed:
                count = len(doubts)
            else:
                count = 0 if group in self._sampled else SAMPLE
            chosen += doubts[:count]
            del doubts[:count]
            self._sampled.add(group)
        self._tried |= {doubt.key: doubt for doubt in chosen}
        return chosen

    def nodes_of(self, lease: Lease) -> frozenset[str]:
        """Return the nodes on which units of a lease have failed."""
        doubts = self._tried_in(lease.units) if self._tried else []
        return frozenset(doubt.node for doubt in doubts if doubt.node)

    def settle(self, lease: Lease, outcomes: Iterable[Outcome]) -> list[Doubt]:
        """Record what came of a lease; return the failures whose place its outcomes take."""
        if not self._tried:
            return []
        good = {(o.video_id, o.first_clip) for o in outcomes if not o.errors}
        doubts = self._tried_in(lease.units)
        for doubt in doubts:
            del self._tried[doubt.key]
            if doubt.key in good:
                self._healed.add(doubt.group)
        return doubts

    def _tried_in(self, units: Sequence[object]) -> list[Doubt]:
        keys = ((u.video_id, u.first_clip) for u in units if isinstance(u, Unit) and u.attempts)
        return [self._tried[key] for key in keys if key in self._tried]

    @property
    def standing(self) -> int:
        """Number of failures that stand because none of their sample succeeded elsewhere."""
        return sum(map(len, self._waiting.values()))
