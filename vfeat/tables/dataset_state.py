"""The state of a dataset: the one door to what is planned, committed, failed and gone.

It is the rows of the index's segments, and the fold of the groups that these do not stand for.
Read in columns, batch by batch; Python objects are made of videos in such groups only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus.id_set import IdSet
from vfeat.corpus.ids import ID, Ids, raw_ids
from vfeat.outcome import Outcome
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.catalogue import Catalogue, Group, read_catalogue
from vfeat.tables.committed import parse_outcomes, read_outcomes
from vfeat.tables.extras import common_type
from vfeat.tables.group_fold import FoldedGroup, GroupFold, OutcomeSource
from vfeat.tables.index_rows import fitted, rows_schema, rows_table, state_of
from vfeat.tables.notes import NotedOutcomes
from vfeat.tables.parquet import opened
from vfeat.tables.plans import EXTRA, plan_schema, read_plan
from vfeat.tables.segments import BATCH_ROWS
from vfeat.tables.sorted_ids import SortedIds
from vfeat.tables.video_state import VideoState


class DatasetState:
    """The state at one time.

    Args:
        catalogue: what is there.
        source: of outcomes, instead of notes and footers.
        pass_damaged: leave out files that cannot be read, instead of an error; `damaged` names
            of them.

    Attributes:
        damaged: key of an unreadable file that should hold clips of a video, by video_id; known
            of the groups read so far.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        source: OutcomeSource | None = None,
        pass_damaged: bool = False,
    ) -> None:
        self.catalogue = catalogue
        self.notes = NotedOutcomes(catalogue.root, catalogue.notes, catalogue.markers.values())
        self.damaged: dict[str, str] = {}
        self._source = source or self._outcomes
        self._pass_damaged = pass_damaged

    @cached_property
    def extras(self) -> dict[str, pa.DataType]:
        """Types of the lists' columns, by their names there, in the order they came.

        Plans of one dataset hold one type for a column. Older versions checked nothing: where types
        differ, the column is what Arrow promotes them to, or else text.
        """
        found: dict[str, list[pa.DataType]] = {}
        for segment in self.catalogue.segments:
            for name, kind in segment.extras.items():
                _add_type(found, name, kind)
        for group in self.catalogue.uncovered:
            for field in plan_schema(self.catalogue.root, group.plans[0]):
                if field.name.startswith(EXTRA):
                    _add_type(found, field.name.removeprefix(EXTRA), field.type)
        return {name: common_type(types) for name, types in found.items()}

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the rows."""
        return rows_schema(self.extras)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows, each video once.

        Args:
            columns: names of `index_rows.ROWS`, in this order; all, with the lists', if None.
        """
        names = self.schema.names if columns is None else list(columns)
        yield from self.stored(names)
        for part in self.folded():
            rows = [part.held[video_id] for video_id in part.held if video_id in part.final]
            for table in (part.fresh, rows_table(rows, self.schema)):
                for place in range(0, len(table), BATCH_ROWS):
                    yield table.slice(place, BATCH_ROWS).select(names)

    def stored(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows that segments stand for."""
        schema = pa.schema([self.schema.field(name) for name in columns])
        for segment, kept in zip(self.catalogue.segments, self._overlay.kept, strict=True):
            for table in segment.tables(columns, kept):
                yield fitted(table, schema)

    def folded(self, passed: Callable[[Group], bool] | None = None) -> Iterator[FoldedGroup]:
        """Yield the other groups, in order.

        Args:
            passed: groups of which only the videos are needed, without rows.
        """
        work = self._overlay
        if not work.last:
            return
        fold = GroupFold(
            self.catalogue.root, self.catalogue.kind, self.schema, self._source, self._gone_before,
            work.shared, {v: work.begin(v, keep_grid=self._pass_damaged) for v in work.before},
        )  # fmt: skip
        for number in sorted(work.last):
            group, wanted = self.catalogue.groups[number], work.again.get(number)
            if passed is not None and passed(group):
                ids = _ids(self.catalogue.root, group.plans[0])
                held: dict[str, dict[str, Any]] = {
                    one.hex(): {} for one in _exact(ids[work.shared.contains(ids)])
                }
                yield FoldedGroup(group, False, self.schema.empty_table(), held)
                continue
            part = fold.fold(group, wanted, work.last[number])
            self.damaged |= part.damaged
            yield part

    @property
    def shared(self) -> SortedIds:
        """Videos of several groups, of which one or more are folded."""
        return self._overlay.shared

    def before(self, video_id: str) -> dict[str, Any] | None:
        """Return the row that segments hold of a video that `folded` yields."""
        return self._overlay.before.get(video_id)

    def known_ids(self) -> Iterator[Ids]:
        """Yield the ids of all videos of all plans; some may come twice."""
        for segment in self.catalogue.segments:
            yield from segment.ids()
        for group in self.catalogue.uncovered:
            yield _ids(self.catalogue.root, group.plans[0])

    @cached_property
    def _overlay(self) -> _Overlay:
        return _overlay(self.catalogue, self.schema)

    @cached_property
    def _gone_before(self) -> SortedIds:
        """Return the videos that `videos.parquet` calls gone."""
        root = self.catalogue.root
        if not root.exists(layout.VIDEOS):
            return SortedIds.union([])
        found = []
        with opened(root, layout.VIDEOS) as reader:
            for batch in reader.batches(BATCH_ROWS, ["video_id", "status"]):
                gone = batch.filter(pc.equal(batch.column("status"), "gone"))
                found.append(raw_ids(gone.column("video_id")))
        return SortedIds.union(found)

    def _outcomes(self, group: Group, shards: Sequence[str]) -> Iterator[tuple[str, list[Outcome]]]:
        noted = self.notes.of_group(group.number)
        damaged: set[str] | None = set() if self._pass_damaged else None
        rest = [shard for shard in shards if shard not in noted]
        read = dict(read_outcomes(self.catalogue.root, rest, damaged))
        for shard in shards:
            if (written := noted.get(shard) or read.get(shard)) is None:
                continue
            outcomes = parse_outcomes(self.catalogue.root, shard, written, damaged)
            if outcomes is not None:
                yield shard, outcomes


@dataclass(frozen=True)
class _Overlay:
    """How folded groups lie over the segments.

    Attributes:
        kept: of each segment, the rows that stand; None for all.
        before: rows of the segments, of videos in folded groups, by video_id.
        shared: videos of several groups, or of segments and a folded group.
        again: covered groups that are folded once more, and for which videos.
        last: the folded groups, each with the shared videos that no later one has.
        refolded: videos whose row in the segments does not hold any longer.
    """

    kept: list[npt.NDArray[np.bool_] | None]
    before: dict[str, dict[str, Any]]
    shared: SortedIds
    again: dict[int, SortedIds]
    last: dict[int, frozenset[str]]
    refolded: frozenset[str]

    def begin(self, video_id: str, *, keep_grid: bool) -> VideoState:
        """Return the state of a video before the first of its folded groups.

        Args:
            keep_grid: a file that held the length of the video may be unreadable by now.
        """
        row = self.before[video_id]
        known = state_of(row)
        if video_id not in self.refolded:
            return known
        begun = VideoState(video_id, "", gone=known.gone)
        if keep_grid:
            begun.grid, begun.duration_s = known.grid, known.duration_s
        return begun


def dataset_state(root: Root, *, pass_damaged: bool = False) -> DatasetState:
    """Read what is there now."""
    return DatasetState(read_catalogue(root), pass_damaged=pass_damaged)


def state_from_footers(catalogue: Catalogue, source: OutcomeSource | None = None) -> DatasetState:
    """Return the state without a look at the index."""

    def footers(group: Group, shards: Sequence[str]) -> Iterator[tuple[str, list[Outcome]]]:
        for shard, written in read_outcomes(catalogue.root, shards):
            yield shard, parse_outcomes(catalogue.root, shard, written) or []

    return DatasetState(replace(catalogue, segments=()), source=source or footers)


def known_ids(root: Root) -> Iterator[Ids]:
    """Yield the ids of all videos of all plans, in arrays; some may come twice."""
    yield from dataset_state(root).known_ids()


def _overlay(catalogue: Catalogue, schema: pa.Schema) -> _Overlay:
    plans = {group.number: group.plans[0] for group in catalogue.uncovered}
    planned, doubled = IdSet(), [np.empty(0, ID)]  # in files: there may be ten million
    for plan in plans.values():
        ids = _ids(catalogue.root, plan)
        doubled.append(ids[~planned.add(ids)])
    kept, before = _stored(catalogue, schema, planned)
    refolded = frozenset(
        v for v, row in before.items() if not plans.keys().isdisjoint(row["groups"])
    )
    again: dict[int, list[bytes]] = defaultdict(list)
    for video_id in refolded:
        for number in set(before[video_id]["groups"]) - plans.keys():
            again[number].append(bytes.fromhex(video_id))
    wanted = {number: SortedIds(np.array(found, ID)) for number, found in again.items()}
    held = np.array([bytes.fromhex(video_id) for video_id in before], ID)
    shared = SortedIds.union([*doubled, held])
    last = _last(catalogue.root, plans, wanted, shared)
    return _Overlay(kept, before, shared, wanted, last, refolded)


def _stored(
    catalogue: Catalogue, schema: pa.Schema, planned: IdSet
) -> tuple[list[npt.NDArray[np.bool_] | None], dict[str, dict[str, Any]]]:
    """Return which rows of each segment stand, and the rows of the planned videos."""
    kept: list[npt.NDArray[np.bool_] | None] = []
    before: dict[str, dict[str, Any]] = {}
    later = SortedIds.union([])
    for segment in reversed(catalogue.segments):
        mask = None
        if len(planned) or len(later):
            hidden = segment.rows_of(later)
            folded = segment.rows_of(planned) & ~hidden
            mask = ~(hidden | folded)
            for table in segment.tables(schema.names, folded) if folded.any() else ():
                rows = fitted(table, schema).to_pylist()
                before |= {row["video_id"].hex(): row for row in rows}
        kept.insert(0, None if mask is None or mask.all() else mask)
        if segment.overrides:
            later = SortedIds.union([later.ids, segment.overriding()])
    return kept, before


def _last(
    root: Root, plans: Mapping[int, str], again: Mapping[int, SortedIds], shared: SortedIds
) -> dict[int, frozenset[str]]:
    """Return for each folded group the shared videos whose last group it is."""
    seen: set[bytes] = set()
    last: dict[int, frozenset[str]] = {}
    for number in sorted({*plans, *again}, reverse=True):
        if not len(shared):
            last[number] = frozenset()
            continue
        mine = again[number].ids if number in again else _ids(root, plans[number])
        found = _exact(mine[shared.contains(mine)]) - seen
        seen |= found
        last[number] = frozenset(one.hex() for one in found)
    return last


def _exact(ids: Ids) -> set[bytes]:
    """Return ids as bytes; numpy would drop zeros at their ends."""
    data = ids.tobytes()
    return {data[place : place + 16] for place in range(0, len(data), 16)}


def _ids(root: Root, plan: str) -> Ids:
    return SortedIds(raw_ids(read_plan(root, plan, ["video_id"]).column("video_id"))).ids


def _add_type(found: dict[str, list[pa.DataType]], name: str, kind: pa.DataType) -> None:
    types = found.setdefault(name, [])
    if kind not in types and not pa.types.is_null(kind):
        types.append(kind)
