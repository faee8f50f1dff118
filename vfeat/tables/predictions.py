"""The predictions file of one shard: a row for each video and head, and for each window."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vfeat.outcome import Outcome
from vfeat.tables.features import footer_metadata
from vfeat.tables.footer import OUTCOMES_KEY, load_outcomes
from vfeat.tables.parquet import ParquetReader
from vfeat.tables.schema import LABELS, predictions_schema

_UNITS = {"start_s": "second", "end_s": "second", "labels.score": "probability or value"}


@dataclass(frozen=True)
class PredictionRow:
    """One row on its way to disk.

    Attributes:
        prediction_index: with video_id the row's key: heads in order, and for each head the
            whole video first, then its windows.
        window_index: None for the whole video.
        clips: those that were there, of the video or the window.
        logits: output of the head; the mean over windows where it reads windows.
        embedding: float32 [W], input of the head's last layer, likewise; None unless asked for.
    """

    video_id: str
    uri: str
    prediction_index: int
    head: str
    window_index: int | None
    start_s: float
    end_s: float
    clips: int
    labels: tuple[tuple[str, float], ...]
    logits: tuple[float, ...]
    embedding: npt.NDArray[np.float32] | None = None


def predictions_table(
    rows: Sequence[PredictionRow], shard: str, *, embedding: bool = False
) -> pa.Table:
    """Make a table of rows, sorted by (video_id, prediction_index)."""
    schema = predictions_schema(embedding=embedding)
    rows = sorted(rows, key=lambda row: (row.video_id, row.prediction_index))
    labels = [[{"label": name, "score": score} for name, score in row.labels] for row in rows]
    columns: dict[str, Any] = {
        name: [getattr(row, name) for row in rows]
        for name in schema.names
        if name not in ("labels", "shard")
    }
    columns |= {"labels": pa.array(labels, LABELS), "shard": [shard] * len(rows)}
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for field in schema
        for column in (columns[field.name],)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def replaced_rows(
    table: pa.Table, stored: ParquetReader, redone: Iterable[Outcome]
) -> tuple[pa.Table, list[Outcome]]:
    """Merge a shard's new and old content: videos classified again replace their old rows.

    Args:
        table: rows of the videos that were done again.
        stored: the shard's file as it is, open.
        redone: the new outcomes.
    """
    new = {outcome.video_id: outcome for outcome in redone}
    pairs = stored.metadata.metadata
    outcomes = [new.get(old.video_id, old) for old in load_outcomes(pairs[OUTCOMES_KEY])]
    rows = stored.read()
    kept = rows.filter(pc.invert(pc.is_in(rows.column("video_id"), pa.array(list(new)))))
    merged = pa.concat_tables([kept.cast(table.schema), table])
    order = [("video_id", "ascending"), ("prediction_index", "ascending")]
    return merged.sort_by(order), outcomes


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
