"""Cosines between stored vectors and queries, in blocks that fit the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from vfeat.search.best import Scores

Vectors = npt.NDArray[np.floating]  # float16 or float32, as stored
# Numbers of a block: as many as the cache holds, and few enough that the BLAS library multiplies
# them by a query on this thread; two threads that wait for each other cost many times the product.
_BLOCK_NUMBERS = 1 << 18
# A float16 whose bits are put where a float32 has them is too small by this factor.
_HALF_SCALE = np.float32(2.0**112)
_HALF_MASK = np.int32(-0x70000001)  # all bits but the three that no float16 has in its exponent
_HALF_LIMIT = np.float32(2.0**32)  # squares of less are those of finite float16 numbers


def unit(vectors_QD: Vectors) -> npt.NDArray[np.float32]:
    """Return vectors of length one, float32.

    Raises:
        ValueError: a vector is zero or not finite, so that it has no direction.
    """
    wide = np.asarray(vectors_QD, np.float32)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ValueError("a query vector is zero or not finite, so that it has no direction")
    found: npt.NDArray[np.float32] = wide / lengths
    return found


def directions(vectors_ND: Vectors) -> npt.NDArray[np.float32]:
    """Return vectors of length one, float32; zeros where a vector has no direction."""
    wide = np.asarray(vectors_ND, np.float32)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        found = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    found[~np.isfinite(found).all(axis=1)] = 0
    return np.ascontiguousarray(found, np.float32)


def block_rows(width: int) -> int:
    """Return how many vectors make a block."""
    return max(16, _BLOCK_NUMBERS // max(1, width))


def products(
    matrix_ND: npt.NDArray[Any], vector_D: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the products of each row with a vector, float32, on this thread alone."""
    found = np.empty(len(matrix_ND), np.float32)
    step = block_rows(matrix_ND.shape[1])
    for first in range(0, len(matrix_ND), step):
        block = matrix_ND[first : first + step].astype(np.float32, copy=False)
        np.dot(block, vector_D, out=found[first : first + step])
    return found


def inverse_lengths(stored_ND: Vectors) -> npt.NDArray[np.float32]:
    """Return one over the length of each stored vector; NaN where it has no direction."""
    found = np.empty(len(stored_ND), np.float32)
    for first, block, scale in _blocks(stored_ND):
        block *= scale
        rows = stored_ND[first : first + len(block)]
        found[first : first + len(block)] = _inverse(block, rows)
    return found


def cosines(
    stored_ND: Vectors,
    unit_QD: npt.NDArray[np.float32],
    inverse_N: npt.NDArray[np.float32] | None = None,
) -> Iterator[tuple[int, Scores]]:
    """Yield the number of a first row, and the cosines [rows, Q] of the block that it begins.

    A stored vector of zeros, or one that is not finite, is like nothing: -1.

    Args:
        inverse_N: what `inverse_lengths` returns, if it is known.
    """
    columns_DQ = np.ascontiguousarray(unit_QD.T)
    for first, block, scale in _blocks(stored_ND):
        if inverse_N is None:
            block *= scale
            inverse, factor = _inverse(block, stored_ND[first : first + len(block)]), np.float32(1)
        else:
            # The product of a row is scaled, instead of each of its numbers.
            inverse, factor = inverse_N[first : first + len(block)], scale
        with np.errstate(invalid="ignore", over="ignore"):
            scores: Scores = (block @ (columns_DQ * factor)) * inverse[:, None]
        yield first, np.nan_to_num(scores, copy=False, nan=-1.0, posinf=-1.0, neginf=-1.0)


def _blocks(
    stored_ND: Vectors,
) -> Iterator[tuple[int, npt.NDArray[np.float32], np.float32]]:
    """Yield the first row of each block, the block in float32, and what it is too small by.

    numpy turns float16 into float32 number by number; moved as integers, many go at once.
    """
    count, width = stored_ND.shape
    step = block_rows(width)
    wide = np.empty((min(step, count), width), np.float32)
    halves = stored_ND.view(np.int16) if stored_ND.dtype == np.float16 else None
    for first in range(0, count, step):
        block = wide[: min(step, count - first)]
        if halves is None:
            np.copyto(block, stored_ND[first : first + step])
            yield first, block, np.float32(1)
            continue
        bits = block.view(np.int32)
        np.copyto(bits, halves[first : first + step])  # the sign fills the left half
        np.left_shift(bits, 13, out=bits)
        np.bitwise_and(bits, _HALF_MASK, out=bits)
        yield first, block, _HALF_SCALE


def _inverse(block: npt.NDArray[np.float32], rows: Vectors) -> npt.NDArray[np.float32]:
    """Return one over the length of each row of a block, whose stored numbers are `rows`."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        squares = np.einsum("nd,nd->n", block, block)
        # In a block, infinity and NaN of float16 are large numbers.
        large = np.flatnonzero(~(squares < _HALF_LIMIT))
        inverse: npt.NDArray[np.float32] = 1 / np.sqrt(squares)
        inverse[squares == 0] = np.nan
        inverse[large[~np.isfinite(rows[large]).all(axis=1)]] = np.nan
    return inverse
