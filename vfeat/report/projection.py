"""A map of embeddings: two coordinates for each vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_FOR_TSNE = 60


@dataclass(frozen=True)
class Projection:
    """Coordinates in [0, 1], and how they were made.

    Attributes:
        method: for people.
        explained: shares of the variance along the two axes; empty where axes have no meaning.
    """

    xy_N2: npt.NDArray[np.float32]
    method: str
    explained: tuple[float, ...] = ()


def project(vectors_ND: npt.NDArray[np.float32]) -> Projection | None:
    """Lay vectors out on a plane: t-SNE where openTSNE is installed, else PCA.

    Returns:
        None for fewer than three vectors, or vectors that are all equal.
    """
    finite = np.nan_to_num(vectors_ND.astype(np.float64))
    if len(finite) < 3 or finite.ndim != 2 or finite.shape[1] < 2:
        return None
    centred = finite - finite.mean(0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    total = float(values.sum())
    if total <= 1e-12:
        return None
    xy = centred @ axes[:, :-3:-1]
    shares = tuple(float(value) / total for value in values[:-3:-1])
    if len(finite) >= LEAST_FOR_TSNE:
        try:
            from openTSNE import TSNE
        except ImportError:
            pass
        else:
            initial = xy / max(float(np.std(xy[:, 0])), 1e-12) * 1e-4
            perplexity = min(30.0, (len(finite) - 1) / 3)
            made = TSNE(perplexity=perplexity, random_state=0, n_jobs=1, n_iter=400)
            return Projection(
                _scaled(np.asarray(made.fit(centred, initialization=initial))), "t-SNE (openTSNE)"
            )
    return Projection(_scaled(xy), "PCA", shares)


def _scaled(xy_N2: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    low, high = xy_N2.min(0), xy_N2.max(0)
    scaled: npt.NDArray[np.float32] = ((xy_N2 - low) / np.maximum(high - low, 1e-12)).astype("f4")
    return scaled
