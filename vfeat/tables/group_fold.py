"""The fold of one group: its plans and the outcomes of its committed shards, video by video."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.addresses import public
from vfeat.corpus.ids import ID, Ids, raw_ids
from vfeat.outcome import Outcome
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.catalogue import Group
from vfeat.tables.extras import as_type
from vfeat.tables.footer import row_spans
from vfeat.tables.index_rows import extras_of, row_of, rows_table, untouched
from vfeat.tables.kind import TableKind
from vfeat.tables.plans import EXTRA, plan_probe, read_plan
from vfeat.tables.sorted_ids import SortedIds, id_array
from vfeat.tables.video_state import Piece, VideoState

_UNITS = (
    "video_id", "uri", "etag", "size_bytes", "source", "last_clip", "expected_clips", "probe",
    "sequence",
)  # fmt: skip

# Yields the outcomes of committed shards, in order; leaves out what cannot be read.
OutcomeSource = Callable[[Group, Sequence[str]], Iterator[tuple[str, list[Outcome]]]]


@dataclass(frozen=True)
class FoldedGroup:
    """The states of a group's videos.

    Attributes:
        complete: every unit has an outcome, and every split its follow-up plan.
        fresh: rows of the videos that no other group has.
        held: rows of the others, as they are after this group.
        final: of these, the videos that no later group has.
        orphans: committed shards with a split whose follow-up plan is not there.
        shards: number of the group's shards.
        damaged: key of the unreadable file that should hold clips of a video, by video_id.
    """

    group: Group
    complete: bool
    fresh: pa.Table
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    final: frozenset[str] = frozenset()
    orphans: tuple[str, ...] = ()
    shards: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


@dataclass
class _Committed:
    """What the footers of a group hold, by video."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))
    pieces: dict[str, list[Piece]] = field(default_factory=lambda: defaultdict(list))
    shards: set[str] = field(default_factory=set)
    split: list[str] = field(default_factory=list)


class GroupFold:
    """Fold of groups, one after the other.

    Args:
        schema: of the rows, with the dataset's further columns.
        source: of outcomes.
        gone: videos that were gone at the last snapshot.
        shared: videos of several groups; their states are held from group to group.
        states: what is known of such videos before the first of these groups.
    """

    def __init__(
        self,
        root: Root,
        kind: TableKind,
        schema: pa.Schema,
        source: OutcomeSource,
        gone: SortedIds,
        shared: SortedIds,
        states: Mapping[str, VideoState],
    ) -> None:
        self._root, self._kind, self._schema = root, kind, schema
        self._source = source
        self._gone = gone
        self._shared = shared
        self._held = dict(states)

    def fold(self, group: Group, wanted: SortedIds | None, final: frozenset[str]) -> FoldedGroup:
        """Fold a group.

        Args:
            wanted: only these videos; None for all.
            final: shared videos that no later group has.
        """
        plans = {plan: self._plan(plan, wanted) for plan in group.plans}
        planned = {
            layout.shard_name(plan, number)
            for plan, units in plans.items()
            for number in units.column("shard").unique().to_pylist()
        }
        files = [shard for shard in group.shards if shard in planned]
        committed = self._read(group, files)
        orphans = tuple(
            shard for shard in committed.split if layout.follow_up_name(shard) not in group.plans
        )
        fresh, held = self._videos(group, plans, committed)
        for video_id in final:
            self._held.pop(video_id, None)
        return FoldedGroup(
            group, committed.shards == planned and not orphans, fresh, held,
            final & held.keys(), orphans, len(planned),
            self._lost(plans, set(files) - committed.shards),
        )  # fmt: skip

    def _plan(self, plan: str, wanted: SortedIds | None) -> pa.Table:
        """Read a plan; its further columns get the dataset's types."""
        units = read_plan(self._root, plan)
        if wanted is not None:
            units = units.filter(pa.array(wanted.contains(raw_ids(units.column("video_id")))))
        for place, name in enumerate(units.column_names):
            if name.startswith(EXTRA):
                kind = self._schema.field(name).type
                units = units.set_column(place, name, as_type(units.column(name), kind))
        return units

    def _read(self, group: Group, files: Sequence[str]) -> _Committed:
        found = _Committed()
        for shard, outcomes in self._source(group, files):
            found.shards.add(shard)
            file = self._kind.key(shard)
            if any(outcome.split is not None for outcome in outcomes):
                found.split.append(shard)
            for outcome in sorted(outcomes, key=lambda outcome: outcome.first_clip):
                found.outcomes[outcome.video_id].append(outcome)
            for video_id, (first, rows) in row_spans(outcomes).items():
                if rows:
                    found.pieces[video_id].append((file, first, rows))
        return found

    def _videos(
        self, group: Group, plans: Mapping[str, pa.Table], committed: _Committed
    ) -> tuple[pa.Table, dict[str, dict[str, Any]]]:
        first, *others = plans.values()
        ids = raw_ids(first.column("video_id"))
        told = SortedIds.union(
            [_raw(committed.outcomes), *(raw_ids(units.column("video_id")) for units in others)]
        )
        simple = _simple(first, ids, told, self._shared)
        units: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for table in (first.filter(pa.array(~simple)), *others):
            for unit in table.select(_columns(table)).to_pylist():
                units[unit["video_id"]].append(unit)
        shared = self._shared.contains(_raw(units)) if units else ()
        gone = self._gone.contains(_raw(units)) if units else ()
        fresh, held = [], {}
        for video_id, is_shared, was_gone in zip(units, shared, gone, strict=True):
            state = self._held.get(video_id) if is_shared else None
            if state is None:
                state = VideoState(video_id, "", gone=bool(was_gone))
            _describe(state, units[video_id])
            state.add_group(
                group.number,
                committed.outcomes.get(video_id, ()),
                committed.pieces.get(video_id, ()),
            )
            _promise(state, units[video_id])
            if is_shared:
                self._held[video_id] = state
                held[video_id] = row_of(state)
            else:
                fresh.append(row_of(state))
        rest = untouched(
            first.filter(pa.array(simple)), id_array(ids[simple]), group.number,
            self._gone.contains(ids[simple]), self._schema,
        ) if simple.any() else self._schema.empty_table()  # fmt: skip
        return pa.concat_tables([rows_table(fresh, self._schema), rest]), held

    def _lost(self, plans: Mapping[str, pa.Table], shards: set[str]) -> dict[str, str]:
        """Return the videos of unreadable files, each with the file's key."""
        found = {}
        for plan in {layout.plan_of(shard) for shard in shards}:
            pairs = plans[plan].select(["video_id", "shard"]).to_pylist()
            for pair in pairs:
                if (shard := layout.shard_name(plan, pair["shard"])) in shards:
                    found[pair["video_id"]] = self._kind.key(shard)
        return found


def _simple(units: pa.Table, ids: Ids, told: SortedIds, shared: SortedIds) -> np.ndarray:
    """Return which units are whole stories: no outcome, no other unit, no probe to parse."""
    none = np.zeros(len(ids), np.bool_)
    if not {"source", "expected_clips"} <= set(units.column_names):
        return none  # a plan of an earlier version
    unopened = pc.is_null(units.column("probe")).to_numpy(zero_copy_only=False)
    simple: np.ndarray = ~told.contains(ids) & ~shared.contains(ids) & unopened
    once = (
        len(np.unique(ids[simple])) == simple.sum() and not np.isin(ids[~simple], ids[simple]).any()
    )
    return simple if once else none


def _columns(units: pa.Table) -> list[str]:
    return [name for name in units.column_names if name in _UNITS or name.startswith(EXTRA)]


def _raw(video_ids: Mapping[str, Any]) -> Ids:
    return np.frombuffer(bytes.fromhex("".join(video_ids)), ID)


def _describe(state: VideoState, units: Sequence[Mapping[str, Any]]) -> None:
    """Take from the first plan of a video what its listing held."""
    first = units[0]
    if not state.uri:
        state.uri, state.source = public(first["uri"]), first.get("source")
        state.extras = extras_of(first)
        if first["sequence"] is None:  # earlier plans hold other things there of a sequence
            state.etag, state.size_bytes = first["etag"], first["size_bytes"]


def _promise(state: VideoState, units: Sequence[Mapping[str, Any]]) -> None:
    """Take from a plan what no outcome holds yet of the video's length."""
    for unit in units:
        if state.grid is None and unit["probe"]:
            state.open(plan_probe(unit["probe"]))
        if unit["last_clip"] is None:
            state.expected = max(state.expected, unit["expected_clips"])
        else:
            state.promised = max(state.promised, unit["last_clip"] + 1)
