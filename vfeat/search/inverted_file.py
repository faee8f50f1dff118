"""Approximate neighbours by an inverted file, for sets that are too large to compare with all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from vfeat.search.best import Rows, Scores

_PROBES = 32
_BLOCK_ROWS = 16_384
_ROWS_A_LIST = 39
"""What faiss trains a list on, at least."""


class InvertedFile:
    """Inverted file over unit vectors, a byte for each of their values.

    Args:
        read: returns the float32 vectors of some rows.
        begin, end: the rows that it holds.
    """

    def __init__(
        self, read: Callable[[slice | Rows], npt.NDArray[np.float32]], begin: int, end: int
    ) -> None:
        import faiss

        count = self._count = end - begin
        self._begin = begin
        lists = min(int(4 * count**0.5), max(1, count // _ROWS_A_LIST))
        sample = np.linspace(begin, end - 1, min(count, 64 * lists)).astype(np.int64)
        training = np.ascontiguousarray(read(sample))
        metric = faiss.METRIC_INNER_PRODUCT
        self._index: Any = faiss.index_factory(training.shape[1], f"IVF{lists},SQ8", metric)
        self._index.train(training)
        for first in range(begin, end, _BLOCK_ROWS):
            self._index.add(np.ascontiguousarray(read(slice(first, min(first + _BLOCK_ROWS, end)))))

    def search(
        self, queries_QD: npt.NDArray[np.float32], k: int, without: slice
    ) -> tuple[Scores, Rows]:
        """Return cosines and rows of the k nearest; row -1 where there are fewer.

        Args:
            without: rows that are left out.
        """
        import faiss

        left_out = (max(0, side - self._begin) for side in (without.start, without.stop))
        selector = faiss.IDSelectorNot(faiss.IDSelectorRange(*left_out))
        options: Any = faiss.SearchParametersIVF
        parameters = options(nprobe=_PROBES, sel=selector)
        queries = np.ascontiguousarray(queries_QD)
        cosines_QK, rows_QK = self._index.search(queries, k, params=parameters)
        return cosines_QK, np.where(rows_QK >= 0, rows_QK + self._begin, -1)


def has_faiss() -> bool:
    """Return whether faiss is installed."""
    try:
        import faiss  # noqa: F401
    except ImportError:
        return False
    return True
