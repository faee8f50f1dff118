"""Cosines between stored vectors and queries, in blocks that fit the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vfeat.search.best import Scores

Vectors = npt.NDArray[np.floating]  # float16 or float32, as stored
BLOCK_ROWS = 1024


def unit(vectors_QD: Vectors) -> npt.NDArray[np.float32]:
    """Return vectors of length one, float32.

    Raises:
        ValueError: a vector is zero or not finite, so that it has no direction.
    """
    wide = np.asarray(vectors_QD, np.float32)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ValueError("a query vector is zero or not finite, so that it has no direction")
    directions: npt.NDArray[np.float32] = wide / lengths
    return directions


def directions(vectors_ND: Vectors) -> npt.NDArray[np.float32]:
    """Return vectors of length one, float32; zeros where a vector has no direction."""
    wide = np.asarray(vectors_ND, np.float32)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        found = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    found[~np.isfinite(found).all(axis=1)] = 0
    return np.ascontiguousarray(found, np.float32)


def cosines(stored_ND: Vectors, unit_QD: npt.NDArray[np.float32]) -> Iterator[tuple[int, Scores]]:
    """Yield the number of a first row, and the cosines [rows, Q] of the block that it begins.

    A stored vector of zeros, or one that is not finite, is like nothing: -1.
    """
    columns_DQ = np.ascontiguousarray(unit_QD.T)
    wide = np.empty((min(BLOCK_ROWS, len(stored_ND)), stored_ND.shape[1]), np.float32)
    for first in range(0, len(stored_ND), BLOCK_ROWS):
        rows = stored_ND[first : first + BLOCK_ROWS]
        block = wide[: len(rows)]
        np.copyto(block, rows)  # into memory that stays in the cache
        squares = np.einsum("nd,nd->n", block, block)
        with np.errstate(invalid="ignore", divide="ignore"):
            scores: Scores = (block @ columns_DQ) / np.sqrt(squares)[:, None]
        yield first, np.nan_to_num(scores, nan=-1.0, posinf=-1.0, neginf=-1.0)
