"""Predictions whose features have changed since: their videos are classified again.

A retry of extraction may bring a video clips that its prediction did not see, and what failed
once may be mended. How many predictions a video has depends on its length alone, which no retry
changes: so the shard keeps its name and its keys, and one new file takes the old one's place.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus.ids import raw_ids
from vfeat.plan.sequence_ref import SequenceRef
from vfeat.plan.unit import Lease, SequenceUnit
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.committed import committed_shards
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.kind import PREDICTIONS
from vfeat.tables.parquet import read_table
from vfeat.tables.pending import failed_ranges
from vfeat.tables.plans import leases, read_plan
from vfeat.tables.sorted_ids import SortedIds, ids_of


def failed_videos(root: Root, classes: tuple[str, ...]) -> set[str]:
    """Return the video_ids with an error of these classes (`all`: any) in a dataset."""
    tables = failed_ranges(root, classes)
    return {video_id for table in tables for video_id in table.column("video_id").to_pylist()}


def gained(root: Root, mended: Mapping[str, SequenceRef]) -> set[str]:
    """Return the mended videos whose prediction was made from fewer clips than there are now."""
    ids = pa.array(sorted(mended), pa.string())
    found: set[str] = set()
    for key in _files_of(root, ids):
        table = read_table(root, key, ["video_id", "window_index", "clips"])
        mine = pc.is_in(table.column("video_id"), ids)
        whole = table.filter(pc.and_(mine, pc.is_null(table.column("window_index"))))
        found |= {
            row["video_id"]
            for row in whole.to_pylist()
            if row["clips"] < mended[row["video_id"]].rows
        }
    return found


def again_leases(root: Root, again: Mapping[str, SequenceRef]) -> Iterator[Lease]:
    """Yield leases of committed shards with such videos: these units only, as they are now."""
    ids = pa.array(sorted(again), pa.string())
    shards = {posixpath.splitext(posixpath.basename(key))[0] for key in _files_of(root, ids)}
    for plan in layout.in_order({layout.plan_of(shard) for shard in shards}):
        table = read_plan(root, plan)
        mine = table.filter(pc.is_in(table.column("video_id"), ids))
        for lease in leases(plan, mine, set()):
            if lease.shard in shards:
                videos = lease.to_do(SequenceUnit)
                units = (replace(unit, ref=again[unit.video_id]) for unit in videos)
                yield replace(lease, units=tuple(units), again=True)


def _files_of(root: Root, ids: pa.Array) -> Iterable[str]:
    """Return the keys of the committed files that hold any of these videos."""
    if not len(ids):
        return
    wanted = SortedIds(raw_ids(ids))
    groups: set[int] = set()
    for table in dataset_state(root).tables(["video_id", "groups"]):
        mine = table.filter(pa.array(wanted.contains(ids_of(table.column("video_id")))))
        groups.update(pc.list_flatten(mine.column("groups")).to_pylist())
    committed = committed_shards(root)
    for plan in map(layout.plan_name, sorted(groups)):
        table = read_plan(root, plan, ["video_id", "shard"])
        mine = table.filter(pc.is_in(table.column("video_id"), ids))
        names = {layout.shard_name(plan, n) for n in mine.column("shard").unique().to_pylist()}
        yield from (PREDICTIONS.key(shard) for shard in sorted(names & committed))
