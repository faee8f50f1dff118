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
        low_D, step_D: a byte c stands for a distance of low + c * step from the centroid.
    """

    centroids_LD: npt.NDArray[np.float32]
    low_D: npt.NDArray[np.float32]
    step_D: npt.NDArray[np.float32]

    def codes(self, vectors_ND: Vectors, lists_N: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Return the bytes of vectors, whose lengths do not matter.

        Args:
            lists_N: the list of each.
        """
        steps = (directions(vectors_ND) - self.centroids_LD[lists_N] - self.low_D) / self.step_D
        codes: npt.NDArray[np.uint8] = np.clip(np.rint(steps), 0, 255).astype(np.uint8)
        return codes


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
    low_D = away_ND.min(axis=0)
    # The whole range and a bit: other rows reach further than those of the sample.
    spread_D = np.maximum(away_ND.max(axis=0) - low_D, 1e-6)
    return Clusters(centroids_LD, low_D - spread_D / 20, spread_D * np.float32(1.1 / 255))


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
