"""A search with an index: its rows by the index, rows of newer files one by one."""

from __future__ import annotations

from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.search.answer import Answer
from vfeat.search.best import Rows, Scores
from vfeat.search.exact import FILE_ROWS, best_exact, check_width, hits_of
from vfeat.search.index_file import IndexFile, damaged
from vfeat.search.kept import KeptVectors
from vfeat.search.probing import Found, Visible, nearest
from vfeat.search.stored import gone_videos
from vfeat.tables.dataset import FeatureDataset


def search_with_index(
    dataset: FeatureDataset,
    index: IndexFile,
    sizes: dict[str, int],
    unit_QD: npt.NDArray[np.float32],
    k: int,
    kept: KeptVectors | None = None,
) -> Answer:
    """Return the k clips nearest to each query, best first.

    Args:
        sizes: size of each committed file by its key, in order.
        unit_QD: queries of length one.
        kept: vectors that stay in memory, of newer files.

    Raises:
        JobError: queries and stored vectors differ in width.
        MissingObject: the index was replaced by a newer one.
        IndexDamaged: the index is damaged, or disagrees with the dataset.
    """
    about = index.about
    check_width(dataset, about.width, unit_QD.shape[1])
    keys = list(sizes)
    numbers = {key: number for number, key in enumerate(keys)}
    stands_F = np.array([sizes.get(f.key) == f.size_bytes for f in about.files], bool)
    number_F = np.array([numbers.get(f.key, 0) for f in about.files], np.int64)
    held = {f.key for f, stands in zip(about.files, stands_F, strict=True) if stands}
    newer = [key for key in keys if key not in held]
    visible = Visible(None if stands_F.all() else stands_F, _present(index, gone_videos(dataset)))
    rows_QK: Rows = np.full((len(unit_QD), k), -1, np.int64)
    scores_QK: Scores = np.full((len(unit_QD), k), -1, np.float32)
    videos: dict[int, int] = {}
    # Rows of newer files only; without one, nothing is read.
    best, compared = best_exact(dataset, unit_QD, k, sizes, newer, kept=kept)
    for query, unit_D in enumerate(unit_QD):
        found = nearest(index, unit_D, k, about.probes, visible)
        rows_R = number_F[found.places_R3[:, 0]] * FILE_ROWS + found.places_R3[:, 1]
        rows, scores = _merged(found, rows_R, best.rows_QK[query], best.scores_QK[query], k)
        rows_QK[query, : len(rows)], scores_QK[query, : len(rows)] = rows, scores
        videos |= dict(zip(rows_R.tolist(), found.places_R3[:, 2].tolist(), strict=True))
    try:
        hits = hits_of(dataset, keys, rows_QK, scores_QK)
    except IndexError:
        raise damaged(index.name, "it holds a row that its file has not") from None
    for row, hit in zip(rows_QK[rows_QK >= 0].tolist(), chain(*hits), strict=True):
        if row in videos and index.video_ids[videos[row]] != hit.video_id:
            raise damaged(index.name, "a row of it is of another video in the dataset")
    indexed = sum(f.rows for f, stands in zip(about.files, stands_F, strict=True) if stands)
    return Answer(hits, indexed, compared, about.recall)


def _present(index: IndexFile, gone: pa.Array) -> npt.NDArray[np.bool_] | None:
    """Return which videos of the index are still in the corpus; None for all."""
    if not len(gone):
        return None
    out = pc.is_in(pa.array(index.video_ids, pa.string()), gone).to_numpy(zero_copy_only=False)
    return None if not out.any() else ~out


def _merged(
    found: Found, rows_R: Rows, newer_K: Rows, newer_scores_K: Scores, k: int
) -> tuple[Rows, Scores]:
    """Return the best of both, best first; equal scores in the order of the dataset."""
    newer = newer_K >= 0
    rows = np.concatenate([rows_R, newer_K[newer]])
    scores = np.concatenate([found.scores_R, newer_scores_K[newer]])
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]
