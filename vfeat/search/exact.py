"""Exact cosine search: every stored vector is compared, none is kept."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vfeat.errors import JobError
from vfeat.search.best import Best
from vfeat.search.condition import Condition
from vfeat.search.cosine import cosines
from vfeat.search.hit import Hit
from vfeat.search.stored import stored_vectors
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.parquet import read_table

_HIT_COLUMNS = ("video_id", "uri", "clip_index", "start_s", "end_s", "labels")
_FILE_ROWS = 1 << 40  # more than any file has: row numbers of a whole dataset are file and row


def search_exact(
    dataset: FeatureDataset,
    unit_QD: npt.NDArray[np.float32],
    k: int,
    condition: Condition | None = None,
) -> list[list[Hit]]:
    """Return the k clips nearest to each query, best first.

    Args:
        unit_QD: queries of length one.
        condition: only clips for which it holds.

    Raises:
        JobError: queries and stored vectors differ in width.
    """
    best = Best(len(unit_QD), k)
    keys: list[str] = []
    for stored in stored_vectors(dataset, condition):
        if (width := stored.vectors_ND.shape[1]) != unit_QD.shape[1]:
            raise JobError(
                f"{dataset.root.uri} holds vectors of width {width}, the query has "
                f"{unit_QD.shape[1]}: was it made by another model?"
            )
        if not keys or keys[-1] != stored.key:
            keys.append(stored.key)
        offset = (len(keys) - 1) * _FILE_ROWS
        for first, scores_NQ in cosines(stored.vectors_ND, unit_QD):
            best.add_rows(scores_NQ, offset + stored.rows_N[first : first + len(scores_NQ)])
    return hits_of(dataset, keys, best)


def hits_of(dataset: FeatureDataset, keys: list[str], best: Best) -> list[list[Hit]]:
    """Read the columns of the rows that were found."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for row in best.rows_QK[best.rows_QK >= 0]:
        wanted[keys[row // _FILE_ROWS]].add(int(row % _FILE_ROWS))
    read: dict[tuple[str, int], dict[str, object]] = {}
    for key, rows in wanted.items():
        numbers = sorted(rows)
        table = read_table(dataset.root, key, _HIT_COLUMNS).take(pa.array(numbers))
        read |= {(key, n): row for n, row in zip(numbers, table.to_pylist(), strict=True)}
    return [
        [
            _hit(read[keys[row // _FILE_ROWS], int(row % _FILE_ROWS)], float(score))
            for row, score in zip(rows, scores, strict=True)
            if row >= 0
        ]
        for rows, scores in zip(best.rows_QK, best.scores_QK, strict=True)
    ]


def _hit(row: dict[str, object], score: float) -> Hit:
    fields = dict(row)
    labels = fields.pop("labels")
    assert isinstance(labels, list)
    if labels:
        fields |= {"label": labels[0]["label"], "label_score": labels[0]["score"]}
    return Hit(score=score, **fields)  # type: ignore[arg-type]
