"""Recall of an index against exact search, on clips of its own dataset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vfeat.search.cosine import directions
from vfeat.search.exact import FILE_ROWS, best_exact
from vfeat.search.index_file import About, IndexFile
from vfeat.search.probing import MEASURED_K, Visible, nearest
from vfeat.tables.dataset import FeatureDataset

TARGET = 0.95
# Queries that are no clips of the dataset find less than those that are: at least one list of so
# many is looked through, however high the recall of the dataset's own clips is.
_FEWEST = 64
QUERIES = 200
_SEED = 2
_SAME = 1e-6  # cosines so near to each other are equal: many clips have the same content


def measured(dataset: FeatureDataset, index: IndexFile) -> About:
    """Return the description of an index with its recall, and so many probes that it suffices.

    The ten nearest of 200 clips of the dataset, without the clip itself, are looked for exactly and
    with the index. The lists looked through, at first one of 64, are doubled until the recall
    reaches the target, or all are.
    """
    about = index.about
    count = min(QUERIES, about.rows)
    chosen = np.sort(np.random.default_rng(_SEED).choice(about.rows, count, replace=False))
    unit_QD = directions(index.rows("vectors", chosen))
    places = index.rows("places", chosen)
    directed = unit_QD.any(axis=1)
    unit_QD, places = unit_QD[directed], places[directed]
    if about.rows < 2 or not len(unit_QD):  # nothing to be found
        return replace(about, recall=1.0, queries=0)
    sizes = {file.key: file.size_bytes for file in about.files}
    best, _ = best_exact(dataset, unit_QD, MEASURED_K + 1, sizes)
    own_Q = places[:, 0].astype(np.int64) * FILE_ROWS + places[:, 1]
    limits_Q = np.array(
        [
            _others(rows, scores, own)[-1] if (rows >= 0).sum() > 1 else -1.0
            for rows, scores, own in zip(best.rows_QK, best.scores_QK, own_Q, strict=True)
        ]
    )
    wanted_Q = np.minimum((best.rows_QK >= 0).sum(axis=1) - 1, MEASURED_K)
    probes = max(1, about.lists // _FEWEST)
    while True:
        right = 0
        for unit_D, own, limit, wanted in zip(unit_QD, own_Q, limits_Q, wanted_Q, strict=True):
            found = nearest(index, unit_D, MEASURED_K + 1, probes, Visible())
            rows = found.places_R3[:, 0].astype(np.int64) * FILE_ROWS + found.places_R3[:, 1]
            scores = found.scores_R[rows != own]
            right += min(int((scores >= limit - _SAME).sum()), int(wanted))
        recall = right / max(1, int(wanted_Q.sum()))
        if recall >= TARGET or probes >= about.lists:
            return replace(about, recall=recall, probes=probes, queries=len(unit_QD))
        probes = min(2 * probes, about.lists)


def _others(
    rows_K: npt.NDArray[np.int64], scores_K: npt.NDArray[np.float32], own: int
) -> npt.NDArray[np.float32]:
    """Return the scores of at most ten rows other than the query's own, best first."""
    others: npt.NDArray[np.float32] = scores_K[(rows_K >= 0) & (rows_K != own)]
    return others[:MEASURED_K]
