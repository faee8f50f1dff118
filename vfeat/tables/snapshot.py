"""`videos.parquet` and `errors.parquet`: snapshots for people and for SQL.

Rebuilt from plans and footers after each run; losing them loses nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.ledger import VideoState, committed_shards, video_states
from vfeat.tables.plans import parse_probe, plan_list, read_plan
from vfeat.tables.schema import ERRORS, VIDEOS

_FOLDED = b"vfeat.folded_shards"  # how many commits a snapshot knew


@dataclass(frozen=True)
class Snapshot:
    """Both tables, and what a summary needs of them."""

    videos: pa.Table
    errors: pa.Table

    def status_counts(self) -> dict[str, int]:
        """Videos by status: complete, partial, failed, pending, gone."""
        counts = pc.value_counts(self.videos.column("status")).to_pylist()
        return {entry["values"]: entry["counts"] for entry in counts}


IsGone = Callable[[str, str], bool | None]  # (video_id, uri); None: this listing cannot tell


def build_snapshot(root: Root, is_gone: IsGone) -> Snapshot:
    """Fold plans and committed files into the two tables.

    Args:
        root: the dataset.
        is_gone: whether the corpus lost a video; where it cannot tell, the last snapshot's
            word stands.
    """
    states = video_states(root)
    gone_before = _gone_before(root)
    rows: dict[str, list[Any]] = {field.name: [] for field in VIDEOS}
    errors: dict[str, list[Any]] = {field.name: [] for field in ERRORS}
    extras: list[pa.Table] = []
    place: dict[str, int] = {}
    for plan in plan_list(root):
        table = read_plan(root, plan)
        extras.append(_extra_columns(table))
        for unit in table.drop_columns(_extra_names(table)).to_pylist():
            _add_video(unit, states.get(unit["video_id"]), rows, place)
    for video_id, index in place.items():
        gone = is_gone(video_id, rows["uri"][index])
        if gone or (gone is None and video_id in gone_before):
            rows["status"][index] = "gone"
        state = states.get(video_id)
        if state is not None:
            _add_errors(video_id, state, errors)
    videos = pa.table([pa.array(rows[f.name], f.type) for f in VIDEOS], schema=VIDEOS)
    folded = {_FOLDED: str(len(committed_shards(root))).encode()}
    return Snapshot(
        _with_extras(videos, extras).replace_schema_metadata(folded),
        pa.table([pa.array(errors[f.name], f.type) for f in ERRORS], schema=ERRORS),
    )


def is_current(root: Root, is_gone: IsGone) -> bool:
    """True when the published snapshot says what the commits and the listing say."""
    if not root.exists(layout.VIDEOS):
        return False
    with root.open_input(layout.VIDEOS) as file:
        table = pq.read_table(file, columns=["video_id", "uri", "status"])
    if (table.schema.metadata or {}).get(_FOLDED) != str(len(committed_shards(root))).encode():
        return False
    return not any(
        gone is not None and gone != (row["status"] == "gone")
        for row in table.to_pylist()
        for gone in (is_gone(row["video_id"], row["uri"]),)
    )


def publish_snapshot(root: Root, snapshot: Snapshot) -> None:
    """Replace both files."""
    for key, table in ((layout.VIDEOS, snapshot.videos), (layout.ERRORS, snapshot.errors)):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        root.replace_bytes(key, buffer.getvalue())


def _add_video(
    unit: dict[str, Any],
    state: VideoState | None,
    rows: dict[str, list[Any]],
    place: dict[str, int],
) -> None:
    video_id = unit["video_id"]
    probe = parse_probe(unit["probe"]) if unit["probe"] else None
    planned = probe.n_clips if probe else 1
    if video_id in place:
        index = place[video_id]
        if probe and rows["duration_s"][index] is None:  # a retry read what failed before
            rows["duration_s"][index] = probe.duration_s
            rows["planned_clips"][index] = planned
        rows["status"][index] = _status(state, rows["planned_clips"][index])
        return
    place[video_id] = len(rows["video_id"])
    errors = state.open_errors() if state else []
    values = {
        "video_id": video_id,
        "uri": unit["uri"],
        "etag": unit["etag"],
        "size_bytes": unit["size_bytes"],
        "status": _status(state, planned),
        "duration_s": probe.duration_s if probe else None,
        "clips": state.rows if state else 0,
        "planned_clips": planned,
        "empty_clips": state.empty_clips if state else 0,
        "error_clips": sum(error.clips for error in errors),
        "files": [
            {"file": file, "first_row": first, "rows": count}
            for file, first, count in (state.pieces if state else ())
        ],
    }
    for name, column in rows.items():
        column.append(values[name])


def _status(state: VideoState | None, planned: int) -> str:
    if state is None:
        return "pending"
    failed = sum(error.clips for error in state.open_errors())
    if state.rows + state.empty_clips + failed < planned:
        return "pending"
    if failed:
        return "partial" if state.rows else "failed"
    return "complete"


def _add_errors(video_id: str, state: VideoState, errors: dict[str, list[Any]]) -> None:
    for error in state.open_errors():
        values = (
            video_id, state.uri, error.first_clip, error.last_clip,
            error.error_class, error.message, error.attempts,
        )  # fmt: skip
        for column, value in zip(errors.values(), values, strict=True):
            column.append(value)


def _extra_names(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name.startswith("extra.")]


def _extra_columns(table: pa.Table) -> pa.Table:
    """video_id and the list's columns, one row for each video."""
    kept = table.select(["video_id", *_extra_names(table)])
    names = [name.removeprefix("extra.") for name in kept.column_names]
    first = kept.rename_columns(names).group_by("video_id", use_threads=False)
    columns = [(name, "first") for name in names[1:]]
    return first.aggregate(columns).rename_columns(names) if columns else kept.select(["video_id"])


def _with_extras(videos: pa.Table, extras: list[pa.Table]) -> pa.Table:
    wide = [table for table in extras if table.num_columns > 1]
    if not wide:
        return videos
    merged = pa.concat_tables(wide, promote_options="permissive")
    names = merged.column_names[1:]
    clash = {name: f"list_{name}" for name in names if name in videos.column_names}
    merged = merged.rename_columns(["video_id", *(clash.get(n, n) for n in names)])
    grouped = merged.group_by("video_id", use_threads=False)
    names = merged.column_names[1:]
    last = grouped.aggregate([(n, "last") for n in names]).rename_columns(["video_id", *names])
    # pyarrow's join cannot carry list columns: take by position instead.
    where = pc.index_in(videos.column("video_id"), value_set=last.column("video_id"))
    for name in names:
        videos = videos.append_column(name, last.column(name).take(where))
    return videos


def _gone_before(root: Root) -> set[str]:
    if not root.exists(layout.VIDEOS):
        return set()
    with root.open_input(layout.VIDEOS) as file:
        table = pq.read_table(file, columns=["video_id", "status"])
    gone = table.filter(pc.equal(table.column("status"), "gone"))
    return set(gone.column("video_id").to_pylist())
