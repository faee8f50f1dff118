"""What stands under a dataset root: three listings, and the segments that are in force.

A *group* is a numbered plan with all its follow-up plans. Its digest identifies the files that
it has: a segment stands for a group as long as these are the files that it was made from.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from vfeat.errors import StorageError
from vfeat.storage.failures import MissingObject
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.kind import TableKind, kind_of
from vfeat.tables.plans import checked_plans
from vfeat.tables.segments import Segment, segments_in_force

_TRIES = 5  # listings, while segments are merged under a reader's hands


@dataclass(frozen=True)
class Group:
    """A numbered plan with its follow-up plans, as listed.

    Attributes:
        plans: in order, the numbered one first.
        shards: the committed ones, in order; some of no plan may be among them.
        digest: of the names and sizes of plans and committed files.
    """

    number: int
    plans: tuple[str, ...]
    shards: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Catalogue:
    """A dataset as listed at one time.

    Attributes:
        segments: in force, oldest first.
        next_segment: the number that a segment made from this may take.
        superseded: keys of segments that are not in force.
        notes: names of the notes of outcomes.
        markers: shard by the name of the marker of a file that is being replaced.
        groups: by number, in order.
        file_bytes: of all committed files.
    """

    root: Root
    kind: TableKind
    segments: tuple[Segment, ...]
    next_segment: int
    superseded: tuple[str, ...]
    notes: tuple[str, ...]
    markers: dict[str, str]
    groups: dict[int, Group]
    file_bytes: int

    @cached_property
    def covered(self) -> frozenset[int]:
        """Groups that the segments stand for.

        Raises:
            StorageError: the plan of one was deleted.
        """
        digests: dict[int, str] = {}
        for segment in self.segments:
            digests |= segment.groups
        for number in digests.keys() - self.groups.keys():
            missing = self.root.url(layout.plan_key(layout.plan_name(number)))
            raise StorageError(
                f"{missing} is not there, and files of its shards may be: restore it, or the "
                "shards of that plan cannot be accounted for. To start anew, use another --out"
            )
        marked = {layout.group_of(shard) for shard in self.markers.values()}
        return frozenset(
            number
            for number, digest in digests.items()
            if number not in marked and digest == self.groups[number].digest
        )

    @property
    def uncovered(self) -> list[Group]:
        """Return the groups that are read from their plans and footers, in order."""
        return [group for number, group in self.groups.items() if number not in self.covered]

    @property
    def plans(self) -> list[str]:
        """Return all plans, in order."""
        return [plan for group in self.groups.values() for plan in group.plans]

    @property
    def committed(self) -> set[str]:
        """Return the names of the committed shards."""
        return {shard for group in self.groups.values() for shard in group.shards}

    @property
    def shards(self) -> int:
        """Number of committed files."""
        return sum(len(group.shards) for group in self.groups.values())


def read_catalogue(root: Root, *, ignore_segments: bool = False) -> Catalogue:
    """List a dataset and open the segments in force.

    Args:
        ignore_segments: open none.

    Raises:
        StorageError: a numbered plan was deleted, or a segment cannot be read.
    """
    for _ in range(_TRIES - 1):
        try:
            return _read(root, ignore_segments)
        except MissingObject:  # merged meanwhile: a newer segment stands for it
            continue
    return _read(root, ignore_segments)


def state_token(segment_ids: Iterable[str], uncovered: Iterable[Group], marked: bool) -> str:
    """Return what changes whenever a state does: for snapshots, which carry it."""
    files = {str(group.number): group.digest for group in uncovered}
    return hashlib.blake2b(
        json.dumps([list(segment_ids), files, marked]).encode(), digest_size=16
    ).hexdigest()


def _read(root: Root, ignore_segments: bool) -> Catalogue:
    kind = kind_of(root)
    # The index first: what it stands for is there when the files are listed.
    index = root.list(layout.INDEX)
    numbers = layout.segment_numbers(index)
    segments, superseded = segments_in_force(root, () if ignore_segments else numbers)
    files = root.list(kind.folder)
    plans = root.list(layout.PLANS)
    return Catalogue(
        root, kind, segments, numbers[-1] + 1 if numbers else 1, superseded,
        tuple(layout.note_names(index)), layout.marker_names(index),
        _groups(root, plans, files), sum(files.values()),
    )  # fmt: skip


def _groups(root: Root, plan_sizes: dict[str, int], sizes: dict[str, int]) -> dict[int, Group]:
    plans: dict[int, list[str]] = defaultdict(list)
    for plan in checked_plans(root, plan_sizes):
        plans[layout.group_of(plan)].append(plan)
    shards: dict[int, list[str]] = defaultdict(list)
    for shard in layout.shard_names(sizes):
        shards[layout.group_of(shard)].append(shard)
    return {
        number: Group(
            number, tuple(names), tuple(shards[number]),
            _digest([(name, plan_sizes) for name in names], [(s, sizes) for s in shards[number]]),
        )
        for number, names in plans.items()
        if not layout.is_follow_up(names[0])
    }  # fmt: skip


def _digest(*parts: list[tuple[str, dict[str, int]]]) -> str:
    lines = [f"{name}:{sizes[f'{name}.parquet']}" for part in parts for name, sizes in part]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()
