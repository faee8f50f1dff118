"""The features file of one shard: rows and outcomes, written whole, read without vfeat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vfeat.job.fingerprint import Recipe, fingerprint
from vfeat.outcome import Outcome
from vfeat.tables.footer import (
    OUTCOMES_KEY,
    RECIPE_KEY,
    UNITS_KEY,
    dump_outcomes,
    load_outcomes,
)
from vfeat.tables.parquet import ParquetReader
from vfeat.tables.schema import LABELS, SHOT_COLUMNS, RowShape, features_schema

ROW_GROUP_BYTES = 32 << 20
_UNITS = {"start_s": "second", "end_s": "second", "embedding": "1", "labels.score": "probability"}
_SHOT_UNITS = {"shot_start_s": "second", "shot_end_s": "second"}
_TOKENS = ("frame_tokens", "patch_tokens")


@dataclass(frozen=True)
class ClipRow:
    """One row on its way to disk.

    Attributes:
        embedding: [D], float16 or float32 as the recipe stores it.
        tokens: [steps, D] or [steps * patches, D], or None.
        shot: index, start and end (seconds) of its shot; None unless clips are laid on shots.
    """

    video_id: str
    uri: str
    clip_index: int
    start_s: float
    end_s: float
    embedding: np.ndarray
    labels: tuple[tuple[str, float], ...] = field(default=())
    tokens: np.ndarray | None = None
    shot: tuple[int, float, float] | None = None


def features_table(
    rows: Sequence[ClipRow], shape: RowShape, recipe: Recipe, shard: str
) -> pa.Table:
    """Make a table of rows, sorted by (video_id, clip_index)."""
    has_shots = recipe.clip.sampling == "shots"
    schema = features_schema(shape, recipe.output, shots=has_shots)
    rows = sorted(rows, key=lambda row: (row.video_id, row.clip_index))
    columns: dict[str, Any] = {
        "video_id": [row.video_id for row in rows],
        "uri": [row.uri for row in rows],
        "clip_index": [row.clip_index for row in rows],
        "start_s": [row.start_s for row in rows],
        "end_s": [row.end_s for row in rows],
        "embedding": _vectors([row.embedding for row in rows], schema.field("embedding").type),
        "labels": pa.array(
            [[{"label": name, "score": p} for name, p in row.labels] for row in rows], LABELS
        ),
        "shard": [shard] * len(rows),
    }
    if has_shots:
        shots = [row.shot for row in rows if row.shot is not None]
        for place, field_ in enumerate(SHOT_COLUMNS):
            columns[field_.name] = [shot[place] for shot in shots]
    for name in _TOKENS:
        if name in schema.names:
            tokens = [row.tokens for row in rows if row.tokens is not None]
            columns[name] = _vectors(tokens, schema.field(name).type)
    arrays = [
        c if isinstance(c, pa.Array) else pa.array(c, schema.field(n).type)
        for n, c in ((name, columns[name]) for name in schema.names)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _vectors(arrays: Sequence[np.ndarray], kind: pa.DataType) -> pa.Array:
    """Stack equal arrays into a (nested) fixed-size list without going through objects."""
    sizes = []
    item = kind
    while pa.types.is_fixed_size_list(item):
        sizes.append(item.list_size)
        item = item.value_type
    dtype = item.to_pandas_dtype()
    flat = np.concatenate([a.reshape(-1) for a in arrays]) if arrays else np.empty(0, dtype)
    values = pa.array(flat.astype(dtype, copy=False))
    for size in reversed(sizes):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    return values


def write_features(
    path: str,
    table: pa.Table,
    outcomes: Sequence[Outcome],
    recipe: Recipe,
    shape: RowShape,
) -> None:
    """Write a whole file at a local path; publishing it is the caller's next step.

    The vector columns carry no dictionary (on, it makes float32 a third larger than raw);
    float32 is byte-stream split, float16 is not, because DuckDB cannot read it so encoded.
    """
    units = _UNITS | (_SHOT_UNITS if recipe.clip.sampling == "shots" else {})
    metadata = footer_metadata(table, outcomes, recipe.to_json(), units)
    depth = {"embedding": 1, "frame_tokens": 2, "patch_tokens": 2}
    vectors = [n + ".list.element" * depth[n] for n in table.column_names if n in depth]
    split = vectors if recipe.output.dtype == "float32" else False
    pq.write_table(
        table.replace_schema_metadata(metadata),
        path,
        compression="zstd",
        use_dictionary=["video_id", "uri", "shard", "labels.list.element.label"],
        use_byte_stream_split=split,
        row_group_size=max(1, ROW_GROUP_BYTES // shape.bytes_per_clip(recipe.output)),
        write_page_checksum=True,
    )


def footer_metadata(
    table: pa.Table, outcomes: Sequence[Outcome], recipe: dict[str, Any], units: dict[str, str]
) -> dict[bytes, bytes]:
    """Make the key-value pairs of a committed file: recipe, units of measure and outcomes."""
    return {
        **(table.schema.metadata or {}),
        RECIPE_KEY: json.dumps(recipe).encode(),
        UNITS_KEY: json.dumps(units).encode(),
        OUTCOMES_KEY: dump_outcomes(outcomes),
    }


@dataclass(frozen=True)
class Footer:
    """Row count, outcomes and recipe of a committed file, read without its rows."""

    rows: int
    outcomes: list[Outcome]
    fingerprint: str


def read_footer(reader: ParquetReader) -> Footer:
    """Return the outcomes and the recipe of a committed file."""
    pairs = reader.metadata.metadata or {}
    return Footer(
        reader.metadata.num_rows,
        load_outcomes(pairs[OUTCOMES_KEY]),
        fingerprint(json.loads(pairs[RECIPE_KEY])),
    )
