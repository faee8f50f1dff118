"""Scores along one video: every stored clip of it, in order of time."""

from __future__ import annotations

import numpy as np

from vfeat.errors import JobError
from vfeat.search.cosine import Vectors, cosines, unit
from vfeat.search.exact import HIT_COLUMNS, check_width, hit_of
from vfeat.search.hit import Hit
from vfeat.search.like import find_video
from vfeat.search.stored import as_array
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.parquet import read_table


def clips_along(dataset: FeatureDataset, video: str, query_D: Vectors) -> list[Hit]:
    """Score every stored clip of a video against a query, in order of time.

    Args:
        video: its URI, its id, or the end of its URI after a slash.
        query_D: of the width of the dataset's embeddings; its length does not matter.

    Raises:
        JobError: no such video, several of that name, or a query of another width or without a
            direction.
    """
    try:
        unit_1D = unit(np.asarray(query_D)[None])
    except ValueError as error:
        raise JobError(str(error)) from None
    hits: list[Hit] = []
    _, _, pieces = find_video(dataset, video)
    for key, first, count in pieces:
        rows = read_table(dataset.root, key, [*HIT_COLUMNS, "embedding"]).slice(first, count)
        stored_ND = as_array(rows.column("embedding"))
        check_width(dataset, stored_ND.shape[1], unit_1D.shape[1])
        scores = np.concatenate([part[:, 0] for _, part in cosines(stored_ND, unit_1D)])
        described = rows.drop_columns(["embedding"]).to_pylist()
        hits += [hit_of(row, float(s)) for row, s in zip(described, scores, strict=True)]
    return sorted(hits, key=lambda hit: hit.clip_index)
