"""Rows of the index: the folded state of a video in columns, and what tables show of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus.identity import stripped
from vfeat.corpus.ids import hex_ids
from vfeat.outcome import RangeError, subtract
from vfeat.tables.extras import as_type, public_name
from vfeat.tables.plans import EXTRA
from vfeat.tables.schema import ERRORS, PIECES, VIDEOS
from vfeat.tables.sorted_ids import ids_of
from vfeat.tables.video_state import Piece, VideoState

RANGES = pa.list_(pa.struct([("first", pa.int64()), ("last", pa.int64())]))
OPEN_ERRORS = pa.list_(
    pa.struct(
        [
            ("first_clip", pa.int64()),
            ("last_clip", pa.int64()),
            ("error_class", pa.string()),
            ("message", pa.string()),
            ("attempts", pa.int32()),
        ]
    )
)
# The fields of `VideoState`; `planned_clips` of an opened video is its grid.
ROWS = pa.schema(
    [
        ("video_id", pa.binary(16)),
        ("uri", pa.string()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("source", pa.string()),
        ("duration_s", pa.float64()),
        ("planned_clips", pa.int64()),
        ("clips", pa.int64()),
        ("empty_clips", pa.int64()),
        ("error_clips", pa.int64()),
        ("pieces", PIECES),
        ("errors", OPEN_ERRORS),
        ("unsettled", RANGES),
        ("opened", pa.bool_()),
        ("changed", pa.bool_()),
        ("gone", pa.bool_()),
        ("mended", pa.bool_()),
        ("gaps", RANGES),
        ("rows_end", pa.int64()),
        ("groups", pa.list_(pa.int32())),
    ]
)
# Columns that `status_of` and `counts_of` need.
COUNTED = (
    "planned_clips", "clips", "empty_clips", "error_clips", "unsettled", "changed", "gone",
)  # fmt: skip
STATUSES = ("complete", "partial", "failed", "pending", "gone")


def rows_schema(extras: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return ROWS with the further columns of lists, given by their names there."""
    return pa.schema([*ROWS, *(pa.field(f"{EXTRA}{name}", kind) for name, kind in extras.items())])


def row_of(state: VideoState) -> dict[str, Any]:
    """Return a state as a row."""
    return {
        "video_id": bytes.fromhex(state.video_id),
        "uri": state.uri,
        "etag": state.etag,
        "size_bytes": state.size_bytes,
        "source": state.source,
        "duration_s": state.duration_s,
        "planned_clips": state.planned,
        "clips": state.clips,
        "empty_clips": state.empty_clips,
        "error_clips": sum(error.clips for error in state.errors),
        "pieces": [
            {"file": file, "first_row": first, "rows": rows} for file, first, rows in state.pieces
        ],
        "errors": [
            {
                "first_clip": error.first_clip,
                "last_clip": error.last_clip,
                "error_class": error.error_class,
                "message": error.message,
                "attempts": error.attempts,
            }
            for error in state.errors
        ],
        "unsettled": _pairs(state.unsettled),
        "opened": state.grid is not None,
        "changed": state.changed,
        "gone": state.gone,
        "mended": state.mended,
        "gaps": _pairs(state.gaps),
        "rows_end": state.rows_end,
        "groups": list(state.groups),
        **{f"{EXTRA}{name}": value for name, value in state.extras.items()},
    }


def state_of(row: Mapping[str, Any]) -> VideoState:
    """Return the state that `row_of` was given."""
    planned = row["planned_clips"]
    unsettled = ranges_of(row["unsettled"])
    return VideoState(
        video_id=row["video_id"].hex(),
        uri=row["uri"],
        etag=row["etag"],
        size_bytes=row["size_bytes"],
        source=row["source"],
        extras=extras_of(row),
        duration_s=row["duration_s"],
        grid=planned if row["opened"] else None,
        promised=planned,
        clips=row["clips"],
        empty_clips=row["empty_clips"],
        errors=[RangeError(**error) for error in row["errors"]],
        settled=subtract([(0, planned - 1)], unsettled) if planned else [],
        pieces=pieces_of(row),
        gaps=ranges_of(row["gaps"]),
        rows_end=row["rows_end"],
        changed=row["changed"],
        gone=row["gone"],
        mended=row["mended"],
        groups=list(row["groups"]),
    )


def pieces_of(row: Mapping[str, Any]) -> list[Piece]:
    """Return where the rows of a video stand: (file, first row, rows)."""
    return [(piece["file"], piece["first_row"], piece["rows"]) for piece in row["pieces"]]


def extras_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the further columns of a row, by their names in the list."""
    return {
        name.removeprefix(EXTRA): value for name, value in row.items() if name.startswith(EXTRA)
    }


def rows_table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of rows."""
    return pa.Table.from_pylist(list(rows), schema)


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give a table, of some columns, the columns of a schema; null where it lacks one."""
    columns = [
        as_type(table.column(field.name), field.type)
        if field.name in table.column_names
        else pa.chunked_array([pa.nulls(len(table), field.type)])
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def untouched(
    units: pa.Table, ids: pa.Array, group: int, gone: np.ndarray, schema: pa.Schema
) -> pa.Table:
    """Make the rows of videos with one unit each and no outcome, straight from their plan.

    Args:
        units: rows of a plan, with all columns of today's plans.
        ids: their video_ids, binary.
        gone: of each.
    """
    count = len(units)
    promised = pc.coalesce(
        pc.add(units.column("last_clip"), pa.scalar(1, pa.int64())), units.column("expected_clips")
    ).combine_chunks()
    nothing = pa.array(np.zeros(count, np.int64))
    no = pa.array(np.zeros(count, np.bool_))
    unsettled = pa.StructArray.from_arrays(
        [nothing, pc.subtract(promised, pa.scalar(1, pa.int64()))], ["first", "last"]
    )
    every = pa.array(np.arange(count + 1, dtype=np.int32))
    found = {
        "video_id": ids,
        "uri": stripped(units.column("uri"), query=False),
        "etag": units.column("etag"),
        "size_bytes": units.column("size_bytes"),
        "source": units.column("source"),
        "planned_clips": promised,
        "unsettled": pa.ListArray.from_arrays(every, unsettled, type=RANGES),
        "gone": pa.array(gone),
        "groups": pa.ListArray.from_arrays(every, pa.array(np.full(count, group, np.int32))),
        **dict.fromkeys(("clips", "empty_clips", "error_clips", "rows_end"), nothing),
        **dict.fromkeys(("opened", "changed", "mended"), no),
        **{
            name: _no_lists(count, schema.field(name).type) for name in ("pieces", "errors", "gaps")
        },
        **{name: units.column(name) for name in units.column_names if name.startswith(EXTRA)},
    }
    return fitted(pa.table(found), schema)


def is_out(rows: pa.Table) -> pa.ChunkedArray:
    """Return which videos count as gone: the corpus lost them, or has another object there."""
    return pc.or_(rows.column("gone"), rows.column("changed"))


def counts_of(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return the counts of clips that `videos.parquet` shows, by its column's name.

    Nobody can mend what failed of a video that is gone; only what was written of it counts.
    """
    out, nothing = is_out(rows), pa.scalar(0, pa.int64())
    errors = pc.if_else(out, nothing, rows.column("error_clips"))
    accounted = pc.add(pc.add(rows.column("clips"), rows.column("empty_clips")), errors)
    planned = pc.max_element_wise(accounted, pc.if_else(out, nothing, rows.column("planned_clips")))
    return {
        "clips": rows.column("clips"),
        "planned_clips": planned,
        "empty_clips": rows.column("empty_clips"),
        "error_clips": errors,
    }


def status_of(rows: pa.Table) -> pa.ChunkedArray:
    """Return the status of each video, one of STATUSES."""
    pending = pc.greater(pc.list_value_length(rows.column("unsettled")), 0)
    failed = pc.greater(rows.column("error_clips"), 0)
    written = pc.greater(rows.column("clips"), 0)
    gone = is_out(rows)
    return pc.case_when(
        pc.make_struct(gone, pending, pc.and_(failed, written), failed),
        *(pa.scalar(name) for name in ("gone", "pending", "partial", "failed", "complete")),
    )


def videos_table(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows as those of `videos.parquet`.

    Args:
        rows: with all columns.
        schema: VIDEOS and the public names of further columns.
    """
    found = {
        "video_id": hex_ids(ids_of(rows.column("video_id"))),
        "status": status_of(rows),
        "files": rows.column("pieces"),
        **counts_of(rows),
        "uri": stripped(rows.column("uri"), query=False),  # older versions kept whole addresses
        **{name: rows.column(name) for name in ("etag", "size_bytes", "duration_s")},
    }
    for name in rows.column_names:
        if name.startswith(EXTRA):
            found[public_name(name.removeprefix(EXTRA))] = rows.column(name)
    return pa.table([found[field.name] for field in schema], schema=schema)


def videos_schema(extras: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return VIDEOS with the further columns of all lists that named videos."""
    more = (pa.field(public_name(name), kind) for name, kind in extras.items())
    return pa.schema([*VIDEOS, *more])


def open_error_rows(
    rows: pa.Table, others: Iterable[str] = (), *, with_gone: bool = False
) -> pa.Table:
    """Return a row for each open error of videos that are not gone.

    Args:
        rows: with the columns video_id, uri, errors, gone, changed and the others.
        others: further columns of the video, beside its errors.
        with_gone: also of those that were gone when they were last listed.
    """
    has_errors = pc.greater(pc.list_value_length(rows.column("errors")), 0)
    wanted = pc.and_not(has_errors, rows.column("changed") if with_gone else is_out(rows))
    rows = rows.select(["video_id", "uri", "errors", *others]).filter(wanted).combine_chunks()
    errors = rows.column("errors")
    parents = pc.list_parent_indices(errors).combine_chunks()
    videos = rows.drop_columns(["errors"]).take(parents)
    fields = pc.list_flatten(errors).combine_chunks()
    found = {
        "video_id": hex_ids(ids_of(videos.column("video_id"))),
        "uri": stripped(videos.column("uri"), query=False),
        **{name: videos.column(name) for name in others},
        **{f.name: pc.struct_field(fields, f.name) for f in OPEN_ERRORS.value_type},
    }
    names = [*ERRORS.names, *others]
    return pa.table({name: found[name] for name in names})


def errors_table(rows: pa.Table) -> pa.Table:
    """Return rows as those of `errors.parquet`."""
    return open_error_rows(rows).cast(ERRORS)


def _no_lists(count: int, kind: pa.DataType) -> pa.Array:
    offsets = pa.array(np.zeros(count + 1, np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array([], kind.value_type), type=kind)


def _pairs(ranges: Iterable[tuple[int, int]]) -> list[dict[str, int]]:
    return [{"first": first, "last": last} for first, last in ranges]


def ranges_of(pairs: Iterable[Mapping[str, int]]) -> list[tuple[int, int]]:
    """Return a row's ranges as pairs."""
    return [(pair["first"], pair["last"]) for pair in pairs]
