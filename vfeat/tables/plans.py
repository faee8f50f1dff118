"""`plans/<plan>.parquet`: the work units and their shards; written once, never recomputed."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vfeat.addresses import public
from vfeat.errors import ErrorClass, StorageError
from vfeat.plan.sequence_ref import Fold, SequenceRef
from vfeat.plan.shards import PackedVideos
from vfeat.plan.unit import AnyUnit, Lease, SequenceUnit, Unit
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.parquet import opened, read_table
from vfeat.tables.schema import UNITS
from vfeat.video_facts import Probe, parse_probe, probe_fields

EXTRA = "extra."  # columns that a list brought along
PLAN_VIDEOS = 50_000  # a plan is what the driver holds at once
_SHARDS = b"vfeat.shards"  # how many a plan has
_OWN = ("shard", "probe", "sequence", "expected_clips")
_FIXED = [f.name for f in UNITS if f.name not in _OWN]
_NO_VIDEO = pa.schema([UNITS.field("video_id"), UNITS.field("source")]).empty_table()
# What plans of earlier versions lack: a unit had a last clip, and that was its clips.
_ADDED = {"source": None, "unit_clips": None, "has_secret": False}


def plan_table(
    shards: Iterable[Sequence[AnyUnit]],
    extras: dict[str, dict[str, Any]],
    types: Mapping[str, pa.DataType] | None = None,
) -> pa.Table:
    """Make a table of units, shard by shard.

    Args:
        shards: units of each shard, in order.
        extras: the further columns of the list that named a video, by video_id.
        types: of these columns, as their lists had them; inferred where missing.
    """
    columns: dict[str, list[Any]] = {field.name: [] for field in UNITS}
    number = -1
    for number, units in enumerate(shards):
        for unit in units:
            columns["shard"].append(number)
            for name, value in _row(unit).items():
                columns[name].append(value)
    about = {_SHARDS: str(number + 1).encode()}
    table = pa.table([pa.array(columns[f.name], f.type) for f in UNITS], schema=UNITS)
    table = table.replace_schema_metadata(about)
    names = sorted({name for extra in extras.values() for name in extra})
    for name in names:
        values = [extras.get(video, {}).get(name) for video in columns["video_id"]]
        kind = (types or {}).get(name)
        table = table.append_column(f"{EXTRA}{name}", pa.array(values, kind))
    return table


def videos_table(
    videos: pa.Table, packed: PackedVideos, types: Mapping[str, pa.DataType]
) -> pa.Table:
    """Make a table of units from whole videos, column by column.

    Args:
        videos: video_id, uri, size_bytes, etag, source, problem, address, and the lists' `extra.`
            columns. Of an address only its existence is written.
        packed: their shards and costs.
        types: of the lists' columns.
    """
    count = len(videos)
    problem = videos.column("problem")
    is_bad = pc.is_valid(problem)
    columns: dict[str, Any] = {
        **{name: videos.column(name) for name in ("video_id", "uri", "size_bytes", "etag")},
        "source": videos.column("source"),
        "shard": pa.array(packed.shard),
        "first_clip": pa.repeat(pa.scalar(0, pa.int64()), count),
        "unit_clips": pa.repeat(pa.scalar(packed.unit_clips, pa.int64()), count),
        "expected_clips": pa.array(packed.expected),
        "cost_s": pa.array(packed.cost_s),
        "error_class": pc.if_else(is_bad, "storage", pa.scalar(None, pa.string())),
        "message": problem,
        "attempts": pc.cast(is_bad, pa.int32()),
        "has_secret": pc.is_valid(videos.column("address")),
    }
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in UNITS
    ]
    about = {_SHARDS: str(packed.shards).encode()}
    table = pa.table(arrays, schema=UNITS).replace_schema_metadata(about)
    for name in videos.column_names:
        if name.startswith(EXTRA):
            kind = types.get(name.removeprefix(EXTRA), videos.schema.field(name).type)
            table = table.append_column(name, videos.column(name).cast(kind))
    return table


def publish_plan(root: Root, number: int, table: pa.Table) -> str | None:
    """Write a plan under its number; None when another driver took that number first."""
    plan = layout.plan_name(number)
    return plan if write_plan(root, plan, table) else None


def write_plan(root: Root, plan: str, table: pa.Table) -> bool:
    """Write a plan under its name; False when another driver wrote it first."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=16384)
    return root.create_bytes(layout.plan_key(plan), buffer.getvalue())


def read_plan(root: Root, plan: str, columns: list[str] | None = None) -> pa.Table:
    """Read a plan's units, all columns or some."""
    return read_table(root, layout.plan_key(plan), columns)


def plan_schema(root: Root, plan: str) -> pa.Schema:
    """Read a plan's columns from its footer."""
    with opened(root, layout.plan_key(plan)) as reader:
        return reader.schema


def plan_list(root: Root) -> list[str]:
    """Return the names of the plans under a root, oldest first, follow-ups behind their plan.

    Raises:
        StorageError: a plan's file was deleted, so that the numbers have a hole.
    """
    return checked_plans(root, root.list(layout.PLANS))


def checked_plans(root: Root, listing: dict[str, int]) -> list[str]:
    """Return the plans in a listing of `plans/` as `plan_list` does.

    Raises:
        StorageError: a plan's file was deleted, so that the numbers have a hole.
    """
    plans = layout.plan_names(listing)
    numbered = [plan for plan in plans if not layout.is_follow_up(plan)]
    for number, plan in enumerate(numbered, start=1):
        if plan != layout.plan_name(number):
            missing = root.url(layout.plan_key(layout.plan_name(number)))
            raise StorageError(
                f"{missing} is not there, and later plans are: restore it, or the shards of that "
                "plan cannot be accounted for. To start anew, use another --out"
            )
    return plans


def secret_videos(root: Root, plan: str) -> pa.Table:
    """Return video_id and source of the units of a plan that their uri alone may not open."""
    with opened(root, layout.plan_key(plan)) as reader:
        if "has_secret" in reader.schema.names:
            is_secret = reader.read(["has_secret"]).column("has_secret")
        else:  # plans of earlier versions hold the address as it was listed
            uris = reader.read(["uri"]).column("uri").to_pylist()
            is_secret = pa.array([public(uri) != uri for uri in uris], pa.bool_())
        if not pc.any(is_secret).as_py():
            return _NO_VIDEO
        names = [name for name in _NO_VIDEO.column_names if name in reader.schema.names]
        table = reader.read(names).filter(is_secret)
    if "source" not in names:
        table = table.append_column("source", pa.nulls(len(table), pa.string()))
    return table


@dataclass(frozen=True)
class Pending:
    """What is not committed of a plan: shards, videos, and estimated clips and seconds."""

    shards: int
    videos: int
    clips: int
    cost_s: float


def count_pending(root: Root, plan: str, committed: Collection[str]) -> Pending:
    """Count what is not committed of a plan, by its columns."""
    with opened(root, layout.plan_key(plan)) as reader:
        known = ("expected_clips",) if "expected_clips" in reader.schema.names else ()
        columns = ["shard", "video_id", "first_clip", "last_clip", "cost_s", *known]
        table = reader.read(columns)
    shards = pc.unique(table.column("shard")).to_pylist()
    waiting = [n for n in shards if layout.shard_name(plan, n) not in committed]
    if len(waiting) < len(shards):
        table = table.filter(
            pc.is_in(table.column("shard"), pa.array(waiting, table.schema.field("shard").type))
        )
    if known:
        clips = table.column("expected_clips")
    else:
        clips = pc.add(pc.subtract(table.column("last_clip"), table.column("first_clip")), 1)
    return Pending(
        len(waiting), pc.count_distinct(table.column("video_id")).as_py(),
        pc.sum(clips).as_py() or 0, pc.sum(table.column("cost_s")).as_py() or 0.0,
    )  # fmt: skip


def shard_count(root: Root, plan: str) -> int:
    """Return the number of a plan's shards, from its footer where it is there."""
    with opened(root, layout.plan_key(plan)) as reader:
        said = (reader.metadata.metadata or {}).get(_SHARDS)
        if said is not None:
            return int(said)
        numbers = reader.read(["shard"]).column("shard")
    return int(pc.max(numbers).as_py()) + 1 if len(numbers) else 0


def leases(plan: str, table: pa.Table, committed: Collection[str]) -> Iterator[Lease]:
    """Yield leases for the shards that are not committed yet, largest first.

    Only row positions are held for all shards; units become objects one shard at a time.
    """
    shards = table.column("shard").to_numpy()
    if not len(shards):
        return
    starts = [0, *((shards[1:] != shards[:-1]).nonzero()[0] + 1).tolist(), len(shards)]
    costs = table.column("cost_s").to_numpy()
    spans = list(itertools.pairwise(starts))
    for a, b in sorted(spans, key=lambda span: -costs[span[0] : span[1]].sum()):
        shard = layout.shard_name(plan, int(shards[a]))
        if shard not in committed:
            yield Lease(shard, tuple(_unit(row) for row in table.slice(a, b - a).to_pylist()))


def _row(unit: AnyUnit) -> dict[str, Any]:
    """Make a unit's row without its shard; a sequence has neither size nor etag."""
    if isinstance(unit, SequenceUnit):
        video = Unit(
            unit.video_id, unit.uri, 0, "", unit.first_clip, unit.last_clip, unit.cost_s, None
        )
        return {**_row(video), "sequence": _json(unit.ref)}
    fixed = {name: getattr(unit, name) for name in _FIXED}
    return {
        **fixed, "expected_clips": unit.clips, "probe": _json(unit.probe), "sequence": None
    }  # fmt: skip


def _unit(row: dict[str, Any]) -> AnyUnit:
    if row["sequence"]:
        return SequenceUnit(parse_sequence(row["sequence"]), row["last_clip"] + 1, row["cost_s"])
    fields: dict[str, Any] = {name: row.get(name, _ADDED.get(name)) for name in _FIXED}
    probe = plan_probe(row["probe"]) if row["probe"] else None
    error_class: ErrorClass | None = row["error_class"]
    expected = row.get("expected_clips", 1)
    uri = public(fields["uri"])
    if uri != fields["uri"]:  # plans of earlier versions hold the address as it was listed
        fields |= {"uri": uri, "has_secret": True, "address": row["uri"]}
    return Unit(**{**fields, "error_class": error_class}, probe=probe, expected=expected)


def plan_probe(text: str) -> Probe:
    """Parse a value of a plan's `probe` column."""
    return parse_probe(json.loads(text))


def parse_sequence(text: str) -> SequenceRef:
    """Parse a value of a plan's `sequence` column."""
    fields = json.loads(text)
    pieces = tuple((key, first, rows) for key, first, rows in fields["pieces"])
    folds = tuple(Fold(**fold) for fold in fields.get("folds", ()))
    return SequenceRef(**{**fields, "pieces": pieces, "folds": folds})


def _json(record: Probe | SequenceRef | None) -> str | None:
    if record is None:
        return None
    fields = probe_fields(record) if isinstance(record, Probe) else dataclasses.asdict(record)
    return json.dumps(fields, separators=(",", ":"))
