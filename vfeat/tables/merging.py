"""Fewer segments: those that have become many, or whose rows are mostly replaced, become one.

The merged segment takes the next number; what it stands for is in force no longer, and the next
snapshot deletes it: whoever reads it now may end.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vfeat.storage.temporary import TemporaryFolder
from vfeat.tables.catalogue import Catalogue
from vfeat.tables.dataset_state import DatasetState
from vfeat.tables.index_rows import fitted
from vfeat.tables.segments import Segment, SegmentWriter, create_segment
from vfeat.tables.sorted_ids import SortedIds

MOST_SEGMENTS = 16
MOST_OVERRIDES = 0.1  # of all rows
_GROWTH = 2  # a segment so many times larger than all newer ones is left alone


def merge_segments(catalogue: Catalogue) -> bool:
    """Merge segments where that is due; return whether there is a new one."""
    first = _first(catalogue.segments)
    if first is None:
        return False
    beneath, merged = catalogue.segments[:first], catalogue.segments[first:]
    with TemporaryFolder("index") as folder:
        path = os.path.join(folder, "segment.parquet")
        _write(path, beneath, merged, DatasetState(catalogue))
        return create_segment(catalogue.root, catalogue.next_segment, path)


def _first(segments: Sequence[Segment]) -> int | None:
    """Return the place of the oldest segment to merge; it and all newer ones become one."""
    rows = [segment.rows for segment in segments]
    if sum(segment.overrides for segment in segments) > MOST_OVERRIDES * sum(rows):
        return 0 if len(segments) > 1 else None
    if len(segments) <= MOST_SEGMENTS:
        return None
    first = len(segments) - 1
    while first > 0 and rows[first - 1] <= _GROWTH * sum(rows[first:]):
        first -= 1
    return min(first, MOST_SEGMENTS - 1)


def _write(
    path: str, beneath: Sequence[Segment], merged: Sequence[Segment], state: DatasetState
) -> None:
    writer = SegmentWriter(path, state.schema)
    later = SortedIds.union([])
    masks: list[npt.NDArray[np.bool_]] = []
    for segment in reversed(merged):
        masks.insert(0, ~segment.rows_of(later))
        later = SortedIds.union([later.ids, segment.overriding()])
    for segment, mask in zip(merged, masks, strict=True):
        replacing = np.arange(segment.rows) >= segment.rows - segment.overrides
        if not beneath:
            replacing[:] = False
        for table in segment.tables(state.schema.names, mask & ~replacing):
            writer.add(fitted(table, state.schema))
        for table in segment.tables(state.schema.names, mask & replacing):
            writer.override(fitted(table, state.schema))
    groups = {number: d for segment in merged for number, d in segment.groups.items()}
    shards = {number: n for segment in merged for number, n in segment.shards.items()}
    writer.close(groups, shards, beneath)
