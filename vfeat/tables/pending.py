"""What is left to do: uncommitted shards, splits without a follow-up plan, and failed clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus.ids import ID, Ids, raw_ids
from vfeat.outcome import Outcome, subtract
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables import layout
from vfeat.tables.catalogue import Catalogue, read_catalogue
from vfeat.tables.committed import READERS, parse_outcomes, read_outcomes
from vfeat.tables.dataset_state import DatasetState
from vfeat.tables.index_rows import open_error_rows, ranges_of
from vfeat.tables.notes import NotedOutcomes
from vfeat.tables.plans import read_plan, shard_count
from vfeat.tables.sorted_ids import SortedIds

_TOLD = ("etag", "size_bytes", "source", "opened")
_RANGES = (
    "video_id", "uri", "etag", "size_bytes", "source", "first_clip", "last_clip", "opened",
    "attempts",
)  # fmt: skip
_RANGE_ROWS = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("video_id", "uri", "etag")),
        ("size_bytes", pa.int64()),
        ("source", pa.string()),
        ("first_clip", pa.int64()),
        ("last_clip", pa.int64()),
        ("opened", pa.bool_()),
        ("attempts", pa.int32()),
    ]
)
_SPLIT = b'"split"'  # in the outcomes of a shard, where a video was split
_NO_END = np.iinfo(np.int64).max


@dataclass(frozen=True)
class PendingPlan:
    """A plan that is not committed whole.

    Attributes:
        shards: how many it has.
        committed: the names of those whose files exist.
    """

    plan: str
    shards: int
    committed: frozenset[str]


def planned_shards(catalogue: Catalogue) -> int:
    """Count the shards of all plans."""
    counts: dict[int, int] = {}
    for segment in catalogue.segments:
        counts |= segment.shards
    covered = sum(counts[number] for number in catalogue.covered)
    plans = [plan for group in catalogue.uncovered for plan in group.plans]
    return covered + sum(count for _, count in _counts(catalogue.root, plans))


def missing_follow_ups(catalogue: Catalogue) -> Iterator[str]:
    """Yield the committed shards with a split whose follow-up plan does not exist."""
    notes = NotedOutcomes(catalogue.root, catalogue.notes, catalogue.markers.values())
    for group in catalogue.uncovered:
        known = set(group.plans)
        shards = {s for s in group.shards if layout.follow_up_name(s) not in known}
        found = _written(catalogue.root, notes, group.number, shards)
        for shard in layout.in_order(found):
            if _SPLIT in found[shard] and any(
                o.split for o in parse_outcomes(catalogue.root, shard, found[shard]) or ()
            ):
                yield shard


def outcomes_of(root: Root, shards: Collection[str]) -> Iterator[tuple[str, list[Outcome]]]:
    """Yield the outcomes of committed shards, from notes and else from their footers."""
    if not shards:
        return
    catalogue = read_catalogue(root)
    notes = NotedOutcomes(root, catalogue.notes, catalogue.markers.values())
    groups: dict[int, set[str]] = defaultdict(set)
    for shard in shards:
        groups[layout.group_of(shard)].add(shard)
    for number, names in sorted(groups.items()):
        found = _written(root, notes, number, names)
        for shard in layout.in_order(found):
            yield shard, parse_outcomes(root, shard, found[shard]) or []


def _written(
    root: Root, notes: NotedOutcomes, group: int, shards: Collection[str]
) -> dict[str, bytes]:
    """Return the outcomes of shards of one group, in JSON."""
    if not shards:
        return {}
    noted = notes.of_group(group)
    found = {shard: noted[shard] for shard in shards if shard in noted}
    return found | dict(read_outcomes(root, [shard for shard in shards if shard not in noted]))


def failed_ranges(
    root: Root, classes: tuple[str, ...], *, with_gone: bool = False
) -> Iterator[pa.Table]:
    """Yield the open errors of these classes (`all`: any) that no pending unit covers.

    Args:
        root: the dataset.
        classes: of the errors.
        with_gone: also those of videos that were gone at the last listing, and may be back.

    Returns:
        Tables of video_id (hex), uri, etag, size_bytes, source, first_clip, last_clip (inclusive),
        opened: whether the video could ever be read, and attempts so far.
    """
    state = DatasetState(read_catalogue(root))
    waiting = _Waiting(state.catalogue)
    columns = ["video_id", "uri", "errors", "gone", "changed", *_TOLD]
    for table in state.tables(columns):
        found = open_error_rows(table, _TOLD, with_gone=with_gone)
        if "all" not in classes:
            wanted = pa.array(classes, pa.string())
            found = found.filter(pc.is_in(found.column("error_class"), wanted))
        if len(found):
            found = waiting.subtracted(found.select(_RANGES))
        if len(found):
            yield found


def replaced_ranges(root: Root) -> Iterator[pa.Table]:
    """Yield what is missing of videos in whose place another object was found, unless it waits.

    Returns:
        Tables as of `failed_ranges`, with 0 attempts.
    """
    state = DatasetState(read_catalogue(root))
    columns = ["video_id", "uri", "planned_clips", "unsettled", "changed", *_TOLD]
    waiting: _Waiting | None = None
    for table in state.tables(columns):
        found = table.filter(table.column("changed"))
        if len(found):
            waiting = waiting or _Waiting(state.catalogue)
            rows = [missing for video in found.to_pylist() for missing in _missing(video)]
            ranges = waiting.subtracted(pa.Table.from_pylist(rows, _RANGE_ROWS))
            if len(ranges):
                yield ranges


def _missing(video: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    unsettled = ranges_of(video["unsettled"]) if video["planned_clips"] else [(0, 0)]
    kept = {name: video[name] for name in ("uri", *_TOLD)} | {"video_id": video["video_id"].hex()}
    for first, last in unsettled:
        yield {**kept, "first_clip": first, "last_clip": last, "attempts": 0}


class _Waiting:
    """Clip ranges of the units in uncommitted shards."""

    def __init__(self, catalogue: Catalogue) -> None:
        parts = [_uncommitted(catalogue.root, plan) for plan in pending_plans(catalogue)]
        self._ids: Ids = np.concatenate([np.empty(0, ID), *(ids for ids, _ in parts)])
        self._ranges = np.concatenate([np.empty((0, 2), np.int64), *(r for _, r in parts)])
        self._set = SortedIds(self._ids)

    def subtracted(self, ranges: pa.Table) -> pa.Table:
        """Return ranges of videos without the clips that wait already."""
        ids = raw_ids(ranges.column("video_id"))
        waiting = self._set.contains(ids)
        if not waiting.any():
            return ranges
        holes: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
        mine = SortedIds(ids[waiting]).contains(self._ids)
        for one, (first, last) in zip(self._ids[mine], self._ranges[mine].tolist(), strict=True):
            holes[bytes(one)].append((first, last))
        rows = []
        for one, row in zip(
            ids[waiting], ranges.filter(pa.array(waiting)).to_pylist(), strict=True
        ):
            for first, last in subtract([(row["first_clip"], row["last_clip"])], holes[bytes(one)]):
                rows.append({**row, "first_clip": first, "last_clip": last})
        rest = ranges.filter(pa.array(~waiting))
        return pa.concat_tables([rest, pa.Table.from_pylist(rows, ranges.schema)])


def _uncommitted(root: Root, pending: PendingPlan) -> tuple[Ids, np.ndarray]:
    """Return the ids, and first and last clips, of a plan's units in uncommitted shards."""
    columns = ["video_id", "shard", "first_clip", "last_clip"]
    units = read_plan(root, pending.plan, columns)
    done = pa.array([int(name.rpartition("-")[2]) for name in pending.committed], pa.int64())
    units = units.filter(pc.invert(pc.is_in(units.column("shard").cast(pa.int64()), done)))
    last = pc.fill_null(units.column("last_clip").cast(pa.int64()), int(_NO_END))
    first = units.column("first_clip").cast(pa.int64())
    return raw_ids(units.column("video_id")), np.stack([first.to_numpy(), last.to_numpy()], 1)


def pending_plans(catalogue: Catalogue) -> Iterator[PendingPlan]:
    """Yield the plans with uncommitted shards, oldest first, follow-ups behind their plan.

    Plans that the index stands for are not read.
    """
    for group in catalogue.uncovered:
        files: dict[str, list[str]] = defaultdict(list)
        for shard in group.shards:
            files[layout.plan_of(shard)].append(shard)
        for plan, shards in _counts(catalogue.root, group.plans):
            names = frozenset(s for s in files[plan] if int(s.rpartition("-")[2]) < shards)
            if len(names) < shards:
                yield PendingPlan(plan, shards, names)


def _counts(root: Root, plans: Sequence[str]) -> Iterator[tuple[str, int]]:
    counts = here().each(READERS, lambda plan: shard_count(root, plan), plans)
    yield from zip(plans, counts, strict=True)
