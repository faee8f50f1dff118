"""`videos.parquet` and `errors.parquet`: snapshots for people and for SQL.

Rebuilt from plans and footers after each run, plan by plan; losing them loses nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vfeat.storage.root import Root
from vfeat.storage.temporary import TemporaryFolder
from vfeat.tables import layout
from vfeat.tables.committed import PlanState, VideoState, committed_shards, plan_states
from vfeat.tables.extras import as_type, column_types, public_name
from vfeat.tables.parquet import read_table
from vfeat.tables.plans import EXTRA, plan_probe
from vfeat.tables.schema import ERRORS, VIDEOS

_FOLDED = b"vfeat.folded_shards"  # how many commits a snapshot knew

IsGone = Callable[[str, str], bool | None]  # (video_id, uri); None: this listing cannot tell


@dataclass(frozen=True)
class Snapshot:
    """Rows of both tables for the videos of one plan."""

    videos: pa.Table
    errors: pa.Table

    def status_counts(self) -> Counter[str]:
        """Count the videos by status: complete, partial, failed, pending, gone."""
        counts = pc.value_counts(self.videos.column("status")).to_pylist()
        return Counter({entry["values"]: entry["counts"] for entry in counts})


def cannot_tell(video_id: str, uri: str) -> bool | None:
    """Return None, for readers without a listing: the last snapshot's status stands."""
    return None


def snapshot_parts(root: Root, is_gone: IsGone = cannot_tell) -> Iterator[Snapshot]:
    """Fold plans and committed files into the two tables, a plan at a time.

    Args:
        root: the dataset.
        is_gone: whether the corpus lost a video; where it cannot tell, the last snapshot's
            word stands.
    """
    gone_before = _gone_before(root)
    schema = videos_schema(root)
    shown: set[str] = set()
    for state in plan_states(root):
        videos, errors = _Columns(VIDEOS), _Columns(ERRORS)
        for video_id, units in _by_video(state):
            if video_id in shown:
                continue
            shown.add(video_id)
            video = state.videos.get(video_id)
            gone = is_gone(video_id, units[0]["uri"])
            is_out = gone or (gone is None and video_id in gone_before)
            videos.add(_video_row(units, video, bool(is_out)))
            for error in video.open_errors() if video and not is_out else ():
                errors.add(
                    {
                        "video_id": video_id,
                        "uri": units[0]["uri"],
                        "first_clip": error.first_clip,
                        "last_clip": error.last_clip,
                        "error_class": error.error_class,
                        "message": error.message,
                        "attempts": error.attempts,
                    }
                )
        yield Snapshot(_with_extras(videos.table(), state.units, schema), errors.table())


def publish_snapshot(root: Root, is_gone: IsGone) -> Counter[str]:
    """Replace both files. Returns the videos by status."""
    folded = len(committed_shards(root))
    schema = videos_schema(root).with_metadata({_FOLDED: str(folded).encode()})
    counts: Counter[str] = Counter()
    with TemporaryFolder("snapshot") as folder:
        paths = [os.path.join(folder, name) for name in (layout.VIDEOS, layout.ERRORS)]
        with (
            pq.ParquetWriter(paths[0], schema, compression="zstd") as videos,
            pq.ParquetWriter(paths[1], ERRORS, compression="zstd") as errors,
        ):
            for part in snapshot_parts(root, is_gone):
                counts += part.status_counts()
                videos.write_table(part.videos)
                errors.write_table(part.errors)
        root.replace_file(layout.VIDEOS, paths[0])
        root.replace_file(layout.ERRORS, paths[1])
    return counts


def is_current(root: Root, is_gone: IsGone) -> bool:
    """Return whether the published snapshot agrees with the commits and the listing."""
    if not root.exists(layout.VIDEOS):
        return False
    table = read_table(root, layout.VIDEOS, ["video_id", "uri", "status"])
    if (table.schema.metadata or {}).get(_FOLDED) != str(len(committed_shards(root))).encode():
        return False
    return not any(
        gone is not None and gone != (row["status"] == "gone")
        for batch in table.to_batches(max_chunksize=65536)
        for row in batch.to_pylist()
        for gone in (is_gone(row["video_id"], row["uri"]),)
    )


def videos_schema(root: Root) -> pa.Schema:
    """Return VIDEOS with the further columns of all lists that named videos."""
    extras = column_types(root).items()
    return pa.schema([*VIDEOS, *(pa.field(public_name(name), kind) for name, kind in extras)])


class _Columns:
    """Collector of the rows of a table."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._values: dict[str, list[Any]] = {field.name: [] for field in schema}

    def add(self, row: dict[str, Any]) -> None:
        for name, values in self._values.items():
            values.append(row[name])

    def table(self) -> pa.Table:
        arrays = [pa.array(self._values[f.name], f.type) for f in self._schema]
        return pa.table(arrays, schema=self._schema)


def _by_video(state: PlanState) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the units of each video, in plan order."""
    columns = ["video_id", "uri", "etag", "size_bytes", "last_clip", "probe"]
    units = state.units
    # Earlier plans hold a count of rows and a fingerprint in these columns of a sequence.
    is_video = units.column("sequence").is_null()
    for name, nothing in (("etag", ""), ("size_bytes", 0)):
        values = pc.if_else(is_video, units.column(name), pa.scalar(nothing, units[name].type))
        units = units.set_column(units.column_names.index(name), name, values)
    groups: dict[str, list[dict[str, Any]]] = {}
    for unit in units.select(columns).to_pylist():
        groups.setdefault(unit["video_id"], []).append(unit)
    yield from groups.items()


def _video_row(units: list[dict[str, Any]], state: VideoState | None, gone: bool) -> dict[str, Any]:
    probe = plan_probe(units[0]["probe"]) if units[0]["probe"] else None
    settled = state or VideoState(units[0]["uri"])
    # Nobody can mend what failed of a video that is gone; only what was written of it counts.
    open_errors = [] if gone else settled.open_errors()
    errors = sum(error.last_clip - error.first_clip + 1 for error in open_errors)
    accounted = settled.rows + settled.empty_clips + errors
    # A video that could be read only on a retry was first planned as its clip 0.
    planned = probe.n_clips if probe else max(unit["last_clip"] for unit in units) + 1
    planned = accounted if gone else max(planned, accounted)
    return {
        "video_id": units[0]["video_id"],
        "uri": units[0]["uri"],
        "etag": units[0]["etag"],
        "size_bytes": units[0]["size_bytes"],
        "status": "gone" if gone else _status(settled, errors, accounted < planned),
        "duration_s": probe.duration_s if probe else None,
        "clips": settled.rows,
        "planned_clips": planned,
        "empty_clips": settled.empty_clips,
        "error_clips": errors,
        "files": [
            {"file": file, "first_row": first, "rows": rows} for file, first, rows in settled.pieces
        ],
    }


def _status(state: VideoState, errors: int, unfinished: bool) -> str:
    if unfinished:
        return "pending"
    if errors:
        return "partial" if state.rows else "failed"
    return "complete"


def _with_extras(videos: pa.Table, units: pa.Table, schema: pa.Schema) -> pa.Table:
    """Add the list's columns to each video; null where its list had no such column."""
    where = pc.index_in(videos.column("video_id"), value_set=units.column("video_id"))
    names = (n for n in units.column_names if n.startswith(EXTRA))
    found = {public_name(name.removeprefix(EXTRA)): name for name in names}
    for extra in list(schema)[len(VIDEOS) :]:
        if extra.name in found:
            values = as_type(units.column(found[extra.name]).take(where), extra.type)
        else:
            values = pa.nulls(len(videos), extra.type)
        videos = videos.append_column(extra, values)
    return videos


def _gone_before(root: Root) -> set[str]:
    if not root.exists(layout.VIDEOS):
        return set()
    table = read_table(root, layout.VIDEOS, ["video_id", "status"])
    gone = table.filter(pc.equal(table.column("status"), "gone"))
    return set(gone.column("video_id").to_pylist())
