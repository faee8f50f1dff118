"""Exact cosine search: every stored vector is compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vfeat.errors import JobError
from vfeat.search.best import Best, Rows, Scores
from vfeat.search.condition import Condition
from vfeat.search.cosine import cosines
from vfeat.search.hit import Hit
from vfeat.search.kept import KeptVectors
from vfeat.search.stored import stored_vectors
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.parquet import opened

HIT_COLUMNS = ("video_id", "uri", "clip_index", "start_s", "end_s", "labels")
# More than any file has: the number of a row in a whole dataset is its file's number times this,
# plus its number in the file.
FILE_ROWS = 1 << 40


def best_exact(
    dataset: FeatureDataset,
    unit_QD: npt.NDArray[np.float32],
    k: int,
    sizes: Mapping[str, int],
    only: Iterable[str] | None = None,
    condition: Condition | None = None,
    kept: KeptVectors | None = None,
) -> tuple[Best, int]:
    """Return the k rows nearest to each query, and how many were compared.

    Args:
        unit_QD: queries of length one.
        sizes: size of each file of the dataset by its key, in order: the numbers of files are
            places in it.
        only: of these, the ones to search, in order; None for all.
        condition: only rows for which it holds.
        kept: vectors that stay in memory.

    Raises:
        JobError: queries and stored vectors differ in width.
    """
    best, compared = Best(len(unit_QD), k), 0
    numbers = {key: number for number, key in enumerate(sizes)}
    wanted = sizes if only is None else {key: sizes[key] for key in only}
    for stored in stored_vectors(dataset, wanted, condition, kept):
        check_width(dataset, stored.vectors_ND.shape[1], unit_QD.shape[1])
        compared += len(stored.rows_N)
        rows_N = numbers[stored.key] * FILE_ROWS + stored.rows_N
        for first, scores_NQ in cosines(stored.vectors_ND, unit_QD, stored.inverse_N):
            best.add_rows(scores_NQ, rows_N[first : first + len(scores_NQ)])
    return best, compared


def check_width(dataset: FeatureDataset, stored: int, asked: int) -> None:
    """Compare the width of stored vectors with that of a query.

    Raises:
        JobError: they differ.
    """
    if stored != asked:
        raise JobError(
            f"{dataset.root.uri} holds vectors of width {stored}, the query has "
            f"{asked}: was it made by another model?"
        )


def hits_of(
    dataset: FeatureDataset, keys: Sequence[str], rows_QK: Rows, scores_QK: Scores
) -> list[list[Hit]]:
    """Read the columns of the rows that were found; rows below 0 are none.

    Raises:
        IndexError: a file has no such row.
    """
    wanted: dict[str, set[int]] = defaultdict(set)
    for row in rows_QK[rows_QK >= 0]:
        wanted[keys[row // FILE_ROWS]].add(int(row % FILE_ROWS))
    read: dict[tuple[str, int], dict[str, object]] = {}
    for key, rows in wanted.items():
        read |= {(key, n): row for n, row in _read_rows(dataset, key, sorted(rows))}
    return [
        [
            hit_of(read[keys[row // FILE_ROWS], int(row % FILE_ROWS)], float(score))
            for row, score in zip(rows, scores, strict=True)
            if row >= 0
        ]
        for rows, scores in zip(rows_QK, scores_QK, strict=True)
    ]


def _read_rows(
    dataset: FeatureDataset, key: str, rows: list[int]
) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield some rows of a file; only the row groups that hold them are read."""
    left = list(rows)
    with opened(dataset.root, key) as reader:
        first = 0
        for group in range(reader.metadata.num_row_groups):
            end = first + reader.metadata.row_group(group).num_rows
            own = [row for row in left if row < end]
            if own:
                table = reader.read_row_group(group, HIT_COLUMNS)
                found = table.take(pa.array([row - first for row in own])).to_pylist()
                yield from zip(own, found, strict=True)
                left = left[len(own) :]
            first = end
    if left:
        raise IndexError(f"{dataset.root.url(key)} has no row {left[0]}")


def hit_of(row: dict[str, object], score: float) -> Hit:
    """Make a hit of a row with the columns in HIT_COLUMNS."""
    fields = dict(row)
    labels = fields.pop("labels")
    assert isinstance(labels, list)
    if labels:
        fields |= {"label": labels[0]["label"], "label_score": labels[0]["score"]}
    return Hit(score=score, **fields)  # type: ignore[arg-type]
