"""Lists of an index: directions that embeddings lie around, made by k-means (faiss)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vfeat.errors import EnvironmentMissing
from vfeat.search.cosine import Vectors, directions

ROWS_PER_LIST = 40  # at least: fewer say little about where a list lies
_ROUNDS = 10
_SEED = 1


@dataclass(frozen=True)
class Clusters:
    """Where the lists lie, and how a vector becomes bytes.

    Attributes:
        centroids_LD: of length one.
        spread_D: how far vectors usually lie from their centroid in each dimension.
    """

    centroids_LD: npt.NDArray[np.float32]
    spread_D: npt.NDArray[np.float32]

    def codes(
        self, vectors_ND: Vectors, lists_N: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Return the bytes of vectors, whose lengths do not matter, and the reach of each.

        Byte c is (c - 128) / 127 of reach times spread away from the centroid. No vector lies
        outside of this range, so that one that is far from all others is only coarser.

        Args:
            lists_N: the list of each.
        """
        away_ND = (directions(vectors_ND) - self.centroids_LD[lists_N]) / self.spread_D
        reach_N = np.maximum(np.abs(away_ND).max(axis=1), np.float32(1e-9))
        codes = np.rint(away_ND * (127 / reach_N)[:, None]) + 128
        return codes.astype(np.uint8), reach_N.astype(np.float32)


class Assigner:
    """Finds the list of a vector."""

    def __init__(self, clusters: Clusters) -> None:
        self._index = faiss().IndexFlatIP(clusters.centroids_LD.shape[1])
        self._index.add(np.ascontiguousarray(clusters.centroids_LD))

    def lists(self, vectors_ND: Vectors) -> npt.NDArray[np.int64]:
        """Return the number of the list of each vector."""
        found: npt.NDArray[np.int64] = self._index.search(directions(vectors_ND), 1)[1][:, 0]
        return np.maximum(found, 0)


def list_count(rows: int) -> int:
    """Return how many lists so many rows get: twice the square root."""
    return max(1, min(math.isqrt(4 * rows), rows // ROWS_PER_LIST))


def train(vectors_ND: Vectors) -> Clusters:
    """Make the lists of rows; an even share of them is enough.

    Args:
        vectors_ND: all rows; they may be mapped from a file.
    """
    rows, width = vectors_ND.shape
    lists = list_count(rows)
    count = min(rows, max(lists * ROWS_PER_LIST, 20_000))
    chosen = np.sort(np.random.default_rng(_SEED).choice(rows, count, replace=False))
    sample_ND = directions(vectors_ND[chosen])
    means = faiss().Kmeans(
        width, lists, niter=_ROUNDS, seed=_SEED, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=count,
    )  # fmt: skip
    means.train(sample_ND)
    centroids_LD = np.ascontiguousarray(means.centroids, np.float32)
    _, nearest = means.index.search(sample_ND, 1)
    away_ND = sample_ND - centroids_LD[np.maximum(nearest[:, 0], 0)]
    spread_D = np.maximum(np.sqrt(np.square(away_ND).mean(axis=0)), 1e-6)
    return Clusters(centroids_LD, spread_D.astype(np.float32))


def faiss() -> Any:
    """Return the library.

    Raises:
        EnvironmentMissing: it is not installed.
    """
    try:
        import faiss as library
    except ImportError:
        raise EnvironmentMissing(
            "`vfeat index` needs the package faiss-cpu: pip install 'vfeat[search]'. "
            "`vfeat search` works without it, exactly"
        ) from None
    return library
