"""The features file of one shard of imported sequences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vfeat.engine.worker_protocol import UnitResult
from vfeat.importing.recipe import shape_of
from vfeat.job.fingerprint import Recipe
from vfeat.storage.root import Root
from vfeat.tables.features import write_features
from vfeat.tables.kind import FEATURES
from vfeat.tables.publish import publish_file
from vfeat.tables.schema import LABELS, features_schema

IMPORTED_KEY = b"vfeat.imported"  # JSON: digest of the source array of each video of the file


@dataclass(frozen=True)
class ImportedSequence:
    """The rows of one sequence.

    Attributes:
        clips_N: numbers of its steps, in order.
        values_ND: their vectors, finite.
        digest: BLAKE2b of the source array's bytes, 32 hex digits.
    """

    video_id: str
    uri: str
    clips_N: npt.NDArray[np.int32]
    values_ND: npt.NDArray[np.floating]
    digest: str


def imported_table(sequences: Sequence[ImportedSequence], recipe: Recipe, shard: str) -> pa.Table:
    """Make a table of rows, sorted by (video_id, clip_index)."""
    schema = features_schema(shape_of(recipe), recipe.output)
    ordered = sorted(sequences, key=lambda one: one.video_id)
    counts = [len(one.clips_N) for one in ordered]
    clips_N = _joined([one.clips_N for one in ordered], np.int32)
    kind = schema.field("embedding").type
    dtype = kind.value_type.to_pandas_dtype()
    flat = _joined([one.values_ND.reshape(-1) for one in ordered], dtype)
    no_labels = pa.array(np.zeros(len(clips_N) + 1, np.int32))
    columns = {
        "video_id": _repeated([one.video_id for one in ordered], counts),
        "uri": _repeated([one.uri for one in ordered], counts),
        "clip_index": pa.array(clips_N),
        "start_s": pa.array(_seconds(clips_N, 0, recipe.clip.stride)),
        "end_s": pa.array(_seconds(clips_N, 1, recipe.clip.stride)),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(flat), kind.list_size),
        "labels": pa.ListArray.from_arrays(no_labels, pa.array([], LABELS.value_type)),
        "shard": _repeated([shard], [len(clips_N)]),
    }
    arrays = [columns[name].cast(schema.field(name).type) for name in schema.names]
    digests = json.dumps({one.video_id: one.digest for one in ordered}).encode()
    metadata = {**(schema.metadata or {}), IMPORTED_KEY: digests}
    return pa.Table.from_arrays(arrays, schema=schema.with_metadata(metadata))


def publish_imported(root: Root, shard: str, results: list[UnitResult], recipe: Recipe) -> bool:
    """Commit a shard; return False when another attempt was first."""
    rows = [one for result in results for one in result.rows if isinstance(one, ImportedSequence)]
    table = imported_table(rows, recipe, shard)
    outcomes = [result.outcome for result in results]
    return publish_file(
        root,
        FEATURES.key(shard),
        lambda path: write_features(path, table, outcomes, recipe, shape_of(recipe)),
        has_errors=any(outcome.errors for outcome in outcomes),
    )


def _joined(arrays: Sequence[npt.NDArray[np.generic]], dtype: npt.DTypeLike) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)


def _repeated(values: Sequence[str], counts: Sequence[int]) -> pa.Array:
    places = np.repeat(np.arange(len(values)), counts)
    return pa.array(values, pa.string()).take(pa.array(places, pa.int64()))


def _seconds(
    clips_N: npt.NDArray[np.int32], offset: int, step: Fraction
) -> npt.NDArray[np.float64]:
    """Return where steps begin (offset 0) or end (1): one rounding, as of exact fractions."""
    ticks = (clips_N.astype(np.int64) + offset) * step.numerator
    seconds: npt.NDArray[np.float64] = ticks / step.denominator
    return seconds
