"""`vfeat.open(OUT)`: a features dataset as an object, for Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from vfeat.errors import JobError, StorageError
from vfeat.job.fingerprint import Recipe
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.about import read_recipe
from vfeat.tables.committed import committed_shards
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.index_rows import pieces_of
from vfeat.tables.kind import FEATURES
from vfeat.tables.opened_root import dataset_root
from vfeat.tables.parquet import read_table, reading

if TYPE_CHECKING:
    import pandas
    import torch.utils.data


@dataclass(frozen=True)
class Sequence:
    """One video's clips in order.

    Attributes:
        embeddings: [clips, D], as stored.
        clip_index: [clips] int32; a missing number is an empty or failed clip.
        start_s, end_s: [clips] float64, seconds.
    """

    video_id: str
    uri: str
    embeddings: np.ndarray
    clip_index: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray


def open(uri: str) -> FeatureDataset:
    """Open a dataset root that `vfeat extract` wrote.

    Raises:
        JobError: there is no dataset at `uri`.
        StorageError: its `dataset.json` is damaged.
    """
    root = dataset_root(uri)
    return FeatureDataset(root, read_recipe(root))


class FeatureDataset:
    """Committed rows of a dataset; a new call includes what was committed since."""

    def __init__(self, root: Root, recipe: Recipe) -> None:
        self.root = root
        self.recipe = recipe

    def __repr__(self) -> str:
        files = self.files()
        return (
            f"FeatureDataset({self.root.uri!r}, model={self.recipe.model.name}, files={len(files)})"
        )

    def files(self) -> list[str]:
        """Return the keys of the committed features files, in order."""
        return [FEATURES.key(shard) for shard in layout.in_order(committed_shards(self.root))]

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield one table for each file, so that memory is bounded by a shard."""
        for key in self.files():
            with reading(self.root, key):
                table = read_table(self.root, key, columns)
            yield table.replace_schema_metadata(None)

    def to_arrow(self, columns: list[str] | None = None) -> pa.Table:
        """Read all rows into memory.

        Raises:
            JobError: nothing is committed yet.
            StorageError: a file cannot be read, or has other columns than the first.
        """
        tables = list(self.tables(columns))
        if not tables:
            raise JobError(f"{self.root.uri} holds no committed rows yet; see `vfeat status`")
        for key, table in zip(self.files(), tables, strict=False):
            if table.schema != tables[0].schema:
                raise StorageError(
                    f"{self.root.url(key)} has other columns than {self.root.url(self.files()[0])}"
                    "; `vfeat verify` finds which of them is not as it was written"
                )
        return pa.concat_tables(tables)

    def to_pandas(self, columns: list[str] | None = None) -> pandas.DataFrame:
        """Read all rows into a data frame; needs pandas."""
        return self.to_arrow(columns).to_pandas()

    def sequences(self) -> Iterator[Sequence]:
        """Yield every video that has rows, clips in order; read file by file, without a shuffle.

        A video in several files (a long one) is gathered from the row ranges that
        the index or the footers name.
        """
        files = _Files(self.root)
        for table in dataset_state(self.root).tables(["video_id", "uri", "pieces"]):
            videos = [(pieces_of(row), row) for row in table.to_pylist() if row["pieces"]]
            for pieces, row in sorted(videos, key=lambda pair: pair[0]):
                parts = [files.rows(*piece) for piece in pieces]
                with reading(self.root, pieces[0][0]):
                    found = _sequence(row["video_id"].hex(), row["uri"], pa.concat_tables(parts))
                yield found

    def to_torch(self) -> torch.utils.data.IterableDataset[dict[str, Any]]:
        """Return a dataset of `embeddings` [clips, D] float32, `start_s`, `video_id`, `uri`."""
        from vfeat.tables.torch_dataset import SequenceDataset

        return SequenceDataset(self)


class _Files:
    """Cache of the last few features files, since neighbours stand in the same one."""

    COLUMNS = ("video_id", "uri", "clip_index", "start_s", "end_s", "embedding")
    KEPT = 4

    def __init__(self, root: Root) -> None:
        self._root = root
        self._tables: dict[str, pa.Table] = {}

    def rows(self, key: str, first: int, count: int) -> pa.Table:
        if key not in self._tables:
            if len(self._tables) >= self.KEPT:
                self._tables.pop(next(iter(self._tables)))
            with reading(self._root, key):
                self._tables[key] = read_table(self._root, key, self.COLUMNS)
        return self._tables[key].slice(first, count)


def _sequence(video_id: str, uri: str, table: pa.Table) -> Sequence:
    table = table.sort_by("clip_index")
    vectors = table.column("embedding").combine_chunks()
    dim = vectors.type.list_size
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    return Sequence(
        video_id,
        uri,
        flat.reshape(-1, dim),
        table.column("clip_index").to_numpy(),
        table.column("start_s").to_numpy(),
        table.column("end_s").to_numpy(),
    )
