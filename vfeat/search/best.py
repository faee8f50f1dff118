"""The k best rows of a stream of scores, for several queries at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


class Best:
    """The best rows so far.

    Attributes:
        scores_QK: best first; -inf where fewer than k rows came.
        rows_QK: numbers of the rows; -1 where fewer than k came.
    """

    def __init__(self, queries: int, k: int) -> None:
        self.k = k
        self.scores_QK: Scores = np.full((queries, k), -np.inf, np.float32)
        self.rows_QK: Rows = np.full((queries, k), -1, np.int64)

    def add(self, scores_NQ: Scores, first_row: int) -> None:
        """Add the scores of the rows first_row, first_row + 1, ...

        Equal scores keep the order of the rows.
        """
        self.add_rows(scores_NQ, np.arange(first_row, first_row + len(scores_NQ), dtype=np.int64))

    def add_rows(self, scores_NQ: Scores, rows_N: Rows) -> None:
        """Add the scores of some rows, in rising order of their numbers."""
        if not len(rows_N):
            return
        worst_Q = self.scores_QK[:, -1]
        for query in np.flatnonzero(scores_NQ.max(axis=0) > worst_Q):
            scores_N = scores_NQ[:, query]
            better = np.flatnonzero(scores_N > worst_Q[query])
            if len(better) > self.k:  # most of them are far from the best
                kept = np.argpartition(-scores_N[better], self.k - 1)[: self.k]
                limit = scores_N[better][kept].min()
                better = better[scores_N[better] >= limit]
            scores = np.concatenate([self.scores_QK[query], scores_N[better]])
            rows = np.concatenate([self.rows_QK[query], rows_N[better]])
            order = np.argsort(-scores, kind="stable")[: self.k]
            self.scores_QK[query], self.rows_QK[query] = scores[order], rows[order]
