"""The predictions file of one shard: a row for each video and head, and for each window."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vfeat.tables.features import footer_metadata
from vfeat.tables.outcome import Outcome
from vfeat.tables.schema import LABELS, PREDICTIONS_SCHEMA

_UNITS = {"start_s": "second", "end_s": "second", "labels.score": "probability or value"}


@dataclass(frozen=True)
class PredictionRow:
    """One row on its way to disk.

    Attributes:
        prediction_index: with video_id the row's key: heads in order, and for each head the
            whole video first, then its windows.
        window_index: None for the whole video.
        logits: what the head put out; the mean over windows where the head sees windows.
    """

    video_id: str
    uri: str
    prediction_index: int
    head: str
    window_index: int | None
    start_s: float
    end_s: float
    labels: tuple[tuple[str, float], ...]
    logits: tuple[float, ...]


def predictions_table(rows: Sequence[PredictionRow], shard: str) -> pa.Table:
    """Rows as a table sorted by (video_id, prediction_index)."""
    rows = sorted(rows, key=lambda row: (row.video_id, row.prediction_index))
    labels = [[{"label": name, "score": score} for name, score in row.labels] for row in rows]
    columns: dict[str, Any] = {
        name: [getattr(row, name) for row in rows]
        for name in PREDICTIONS_SCHEMA.names
        if name not in ("labels", "shard")
    }
    columns |= {"labels": pa.array(labels, LABELS), "shard": [shard] * len(rows)}
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for field in PREDICTIONS_SCHEMA
        for column in (columns[field.name],)
    ]
    return pa.Table.from_arrays(arrays, schema=PREDICTIONS_SCHEMA)


def write_predictions(
    path: str, table: pa.Table, outcomes: Sequence[Outcome], recipe: dict[str, Any]
) -> None:
    """Write a whole file at a local path; publishing it is the caller's next step."""
    metadata = footer_metadata(table, outcomes, json.loads(json.dumps(recipe)), _UNITS)
    pq.write_table(
        table.replace_schema_metadata(metadata),
        path,
        compression="zstd",
        use_dictionary=["video_id", "uri", "head", "shard", "labels.list.element.label"],
        write_page_checksum=True,
    )
