"""The stored vectors of a dataset, file by file, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus.ids import hex_ids
from vfeat.search.condition import COLUMNS, Condition
from vfeat.search.cosine import Vectors
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.index_rows import is_out
from vfeat.tables.parquet import opened, read_table
from vfeat.tables.sorted_ids import ids_of

_BATCH_ROWS = 16_384


@dataclass(frozen=True)
class StoredVectors:
    """Vectors of neighbouring rows of one file.

    Attributes:
        key: of the file.
        rows_N: their numbers in the file, rising.
        vectors_ND: as stored.
    """

    key: str
    rows_N: npt.NDArray[np.int64]
    vectors_ND: Vectors


def stored_vectors(
    dataset: FeatureDataset,
    condition: Condition | None = None,
    keys: Iterable[str] | None = None,
) -> Iterator[StoredVectors]:
    """Yield the vectors of all videos that are still in the corpus.

    Memory is bounded by some thousands of rows, and the small columns of one file.

    Args:
        condition: only rows for which it holds.
        keys: only rows of these files; None for all.
    """
    gone = gone_videos(dataset)
    for key in dataset.files() if keys is None else keys:
        held = _held(dataset, key, condition, gone)
        if held is not None and not held.any():
            continue
        first = 0
        with opened(dataset.root, key) as reader:
            for batch in reader.batches(_BATCH_ROWS, ["embedding"]):
                rows = np.arange(first, first + len(batch), dtype=np.int64)
                first += len(batch)
                vectors = as_array(batch.column(0))
                if held is not None:
                    chosen = held[rows]
                    rows, vectors = rows[chosen], vectors[chosen]
                if len(rows):
                    yield StoredVectors(key, rows, vectors)


def gone_videos(dataset: FeatureDataset) -> pa.Array:
    """Return the ids of videos whose file was removed or replaced; their rows stay in the files."""
    found = [
        hex_ids(ids_of(table.column("video_id").filter(is_out(table))))
        for table in dataset_state(dataset.root).tables(["video_id", "gone", "changed"])
    ]
    return pa.concat_arrays([*found, pa.array([], pa.string())])


def _held(
    dataset: FeatureDataset, key: str, condition: Condition | None, gone: pa.Array
) -> npt.NDArray[np.bool_] | None:
    """Return which rows of a file count; None for all."""
    if condition is None and not len(gone):
        return None
    columns = ["video_id"] if condition is None else list(COLUMNS)
    rows = read_table(dataset.root, key, columns)
    held = ~pc.is_in(rows.column("video_id"), gone).to_numpy()
    if condition is not None:
        held &= condition.holds(rows)
    return np.asarray(held, bool)


def as_array(column: pa.Array | pa.ChunkedArray) -> Vectors:
    """Return a column of fixed-size vectors as an array [rows, D]; a view if possible."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    flat: Vectors = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, column.type.list_size)
