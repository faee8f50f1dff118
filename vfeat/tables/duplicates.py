"""The table of partial copies: one row for each stretch that two videos share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

DUPLICATE_NOTES = {
    "a": "URI of the one video",
    "b": "URI of the other; of two datasets, the one of --against",
    "a_video_id": "its id in the dataset",
    "b_video_id": "its id in the dataset",
    "a_start_s": "start of the stretch in a, seconds after the first presented frame",
    "a_end_s": "its end in a, seconds",
    "b_start_s": "start of the stretch in b, seconds",
    "b_end_s": "its end in b, seconds",
    "speed": "seconds of b that pass in one second of a",
    "score": "mean likeness along the stretch: 0 is usual for its clips, 1 is equal",
    "evidence_s": "seconds of clips that speak for it, less what speaks against it",
    "segment_group": "number of the group of stretches that are the same; from 0",
    "video_group": "number of the group of whole videos that are the same; null without one",
}

DUPLICATES = pa.schema(
    [
        pa.field(name, kind, nullable=name == "video_group")
        .with_metadata({"description": DUPLICATE_NOTES[name]})
        for name, kind in (
            ("a", pa.string()), ("b", pa.string()),
            ("a_video_id", pa.string()), ("b_video_id", pa.string()),
            ("a_start_s", pa.float64()), ("a_end_s", pa.float64()),
            ("b_start_s", pa.float64()), ("b_end_s", pa.float64()),
            ("speed", pa.float32()), ("score", pa.float32()), ("evidence_s", pa.float32()),
            ("segment_group", pa.int32()), ("video_group", pa.int32()),
        )
    ]
)  # fmt: skip


@dataclass(frozen=True)
class DuplicateRow:
    """One row; the attributes are the columns."""

    a: str
    b: str
    a_video_id: str
    b_video_id: str
    a_start_s: float
    a_end_s: float
    b_start_s: float
    b_end_s: float
    speed: float
    score: float
    evidence_s: float
    segment_group: int
    video_group: int | None


def duplicates_table(rows: Iterable[DuplicateRow]) -> pa.Table:
    """Make the table, rows in the given order."""
    kept = list(rows)
    columns = {f.name: [getattr(row, f.name) for row in kept] for f in fields(DuplicateRow)}
    return pa.table(columns, schema=DUPLICATES)


def write_duplicates(table: pa.Table, file: BinaryIO | str) -> None:
    """Write the table as Parquet."""
    pq.write_table(table, file, compression="zstd")
