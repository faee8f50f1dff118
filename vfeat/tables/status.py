"""Progress of a dataset, from what is committed; nothing is written."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.about import read_about
from vfeat.tables.active_runs import ActiveRun, active_runs
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.index_rows import COUNTED, counts_of, errors_table, status_of
from vfeat.tables.kind import TableKind, kind_of
from vfeat.tables.opened_root import dataset_root
from vfeat.tables.parquet import read_table, reading
from vfeat.tables.pending import planned_shards
from vfeat.tables.snapshot import video_tables


@dataclass(frozen=True)
class DatasetStatus:
    """Counts over all plans of a dataset; sizes in bytes.

    Attributes:
        slowest, advice: what limited the last run, and what to change; None for a run that did
            not record it.
    """

    out: str
    made_by: str
    untrained: bool
    videos: dict[str, int]
    planned_clips: int
    rows: int
    empty_clips: int
    error_clips: int
    shards: int
    shards_done: int
    size_bytes: int
    last_run: str | None
    running: list[ActiveRun]
    slowest: str | None = None
    advice: str | None = None


def dataset_status(uri: str) -> DatasetStatus:
    """Read a root.

    Raises:
        JobError: there is no dataset.
    """
    root = dataset_root(uri)
    about = read_about(root)
    state = dataset_state(root)
    statuses: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for rows in state.tables(COUNTED):
        for entry in pc.value_counts(status_of(rows)).to_pylist():
            statuses[entry["values"]] += entry["counts"]
        total.update(
            {name: pc.sum(column).as_py() or 0 for name, column in counts_of(rows).items()}
        )
    runs = layout.run_names(root.list(layout.RUNS))
    last = json.loads(root.read_bytes(f"{layout.RUNS}/{runs[-1]}")) if runs else None
    limit = (last or {}).get("bottleneck") or {}
    return DatasetStatus(
        out=root.uri,
        made_by=_made_by(about, kind_of(root)),
        untrained=bool(about.get("untrained")),
        videos=dict(statuses),
        planned_clips=total["planned_clips"],
        rows=total["clips"],
        empty_clips=total["empty_clips"],
        error_clips=total["error_clips"],
        shards=planned_shards(state.catalogue),
        shards_done=state.catalogue.shards,
        size_bytes=state.catalogue.file_bytes,
        last_run=_last_run(last) if last else None,
        running=active_runs(root, time.time()),
        slowest=limit.get("sentence"),
        advice=limit.get("advice"),
    )


@dataclass(frozen=True)
class VideoLine:
    """One video of a status table: its length and clips, where they start and end."""

    uri: str
    status: str
    duration_s: float | None
    clips: int
    planned_clips: int
    first_start_s: float | None
    last_end_s: float | None


def video_lines(uri: str, limit: int) -> list[VideoLine]:
    """Return the first `limit` videos over all plans, in plan order."""
    root = dataset_root(uri)
    videos: list[dict[str, Any]] = []
    for table in video_tables(root):
        videos += table.slice(0, limit - len(videos)).to_pylist()
        if len(videos) == limit:
            break
    spans = _spans(root, videos) if "start_s" in kind_of(root).shown else {}
    return [
        VideoLine(
            row["uri"], row["status"], row["duration_s"], row["clips"], row["planned_clips"],
            *spans.get(row["video_id"], (None, None)),
        )
        for row in videos
    ]  # fmt: skip


def _spans(root: Root, videos: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Return where the rows of each video start and end, seconds."""
    spans: dict[str, tuple[float, float]] = {}
    wanted = {piece["file"] for video in videos for piece in video["files"]}
    for key in sorted(wanted):
        with reading(root, key):
            table = read_table(root, key, ["video_id", "start_s", "end_s"])
        grouped = table.group_by("video_id").aggregate([("start_s", "min"), ("end_s", "max")])
        for row in grouped.to_pylist():
            before = spans.get(row["video_id"], (row["start_s_min"], row["end_s_max"]))
            spans[row["video_id"]] = (
                min(before[0], row["start_s_min"]),
                max(before[1], row["end_s_max"]),
            )
    return spans


def open_errors(uri: str) -> list[dict[str, Any]]:
    """Rebuild the rows of `errors.parquet` from the commits."""
    root = dataset_root(uri)
    tables = dataset_state(root).tables(["video_id", "uri", "errors", "gone", "changed"])
    return [row for table in tables for row in errors_table(table).to_pylist()]


def _made_by(about: dict[str, Any], kind: TableKind) -> str:
    recipe = about["recipe"]
    if "heads" in recipe:
        return "heads " + ", ".join(head["task"] for head in recipe["heads"])
    if "model" in recipe:
        weights = "untrained" if about["untrained"] else recipe["model"]["weights"]
        return f"{recipe['model']['name']} ({weights})"
    return f"vfeat {kind.command}"


def _last_run(run: dict[str, Any]) -> str:
    rows, noun, wall_s = run["totals"]["rows"], run["totals"]["noun"], run["wall_s"]
    return f"{run['run']}: {rows:,} {noun} in {wall_s:.1f} s, {rows / wall_s:.2f} {noun}/s"
