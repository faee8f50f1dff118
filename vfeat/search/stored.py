"""The stored vectors of a dataset, file by file, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus.ids import hex_ids
from vfeat.search.condition import COLUMNS, Condition
from vfeat.search.cosine import Vectors
from vfeat.search.kept import KeptFile, KeptVectors
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
        inverse_N: one over the length of each, if it is known.
    """

    key: str
    rows_N: npt.NDArray[np.int64]
    vectors_ND: Vectors
    inverse_N: npt.NDArray[np.float32] | None = None


def stored_vectors(
    dataset: FeatureDataset,
    sizes: Mapping[str, int],
    condition: Condition | None = None,
    kept: KeptVectors | None = None,
) -> Iterator[StoredVectors]:
    """Yield the vectors of all videos that are still in the corpus.

    Memory is bounded by some thousands of rows, the small columns of one file, and what is kept.

    Args:
        sizes: size of each file by its key, in order; one that is being replaced has size -1.
        condition: only rows for which it holds.
        kept: vectors that stay in memory; takes those of further files.
    """
    gone = gone_videos(dataset)
    for key, size_bytes in sizes.items():
        whole = None if kept is None else _kept_file(dataset, key, size_bytes, kept)
        held = _held(dataset, key, condition, gone, whole)
        if held is not None and not held.any():
            continue
        for stored in _whole(key, whole) if whole else _batches(dataset, key):
            if held is None or (chosen := held[stored.rows_N]).all():
                yield stored
            elif chosen.any():
                inverse = None if stored.inverse_N is None else stored.inverse_N[chosen]
                yield StoredVectors(key, stored.rows_N[chosen], stored.vectors_ND[chosen], inverse)


def _batches(dataset: FeatureDataset, key: str) -> Iterator[StoredVectors]:
    first = 0
    with opened(dataset.root, key) as reader:
        for batch in reader.batches(_BATCH_ROWS, ["embedding"]):
            rows = np.arange(first, first + len(batch), dtype=np.int64)
            first += len(batch)
            if len(batch):
                yield StoredVectors(key, rows, as_array(batch.column(0)))


def _whole(key: str, file: KeptFile) -> Iterator[StoredVectors]:
    rows = np.arange(len(file.vectors_ND), dtype=np.int64)
    yield StoredVectors(key, rows, file.vectors_ND, file.inverse_N)


def _kept_file(
    dataset: FeatureDataset, key: str, size_bytes: int, kept: KeptVectors
) -> KeptFile | None:
    """Return a file that is kept by now; None where there is no room for it."""
    found = kept.get(key, size_bytes)
    if found is not None or size_bytes < 0:
        return found
    with opened(dataset.root, key) as reader:
        kind = reader.schema.field("embedding").type
        rows = reader.metadata.num_rows
        if not rows or not kept.has_room(rows * kind.list_size * kind.value_type.bit_width // 8):
            return None
        table = reader.read(["video_id", "embedding"])
    ids = table.column("video_id").combine_chunks().dictionary_encode()
    return kept.keep(key, size_bytes, as_array(table.column("embedding")), ids)


def gone_videos(dataset: FeatureDataset) -> pa.Array:
    """Return the ids of videos whose file was removed or replaced; their rows stay in the files."""
    found = [
        hex_ids(ids_of(table.column("video_id").filter(is_out(table))))
        for table in dataset_state(dataset.root).tables(["video_id", "gone", "changed"])
    ]
    return pa.concat_arrays([*found, pa.array([], pa.string())])


def _held(
    dataset: FeatureDataset,
    key: str,
    condition: Condition | None,
    gone: pa.Array,
    whole: KeptFile | None,
) -> npt.NDArray[np.bool_] | None:
    """Return which rows of a file count; None for all."""
    if condition is None and not len(gone):
        return None
    if condition is None and whole is not None:
        names = pc.is_in(whole.video_ids.dictionary, gone).to_numpy(zero_copy_only=False)
        return np.asarray(~names[whole.video_ids.indices.to_numpy()], bool)
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
