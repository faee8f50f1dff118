"""Recall of retrieval: the share of queries with a right answer among the first K.

Shape legend: N queries, M candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PLACES = (1, 5, 10)


@dataclass(frozen=True)
class Recall:
    """Recall of one direction, each a share of the queries in [0, 1].

    Attributes:
        r1, r5, r10: queries with a right answer among the first 1, 5, 10.
        median_rank: median place of the best right answer, from 1.
    """

    r1: float
    r5: float
    r10: float
    median_rank: float

    @property
    def mean(self) -> float:
        """Mean of the three shares."""
        return (self.r1 + self.r5 + self.r10) / 3


def recall(scores_NM: npt.NDArray[np.floating], right_NM: npt.NDArray[np.bool_]) -> Recall:
    """Compute the recall of queries; equal scores count against the right answer.

    Args:
        scores_NM: higher is better.
        right_NM: which candidates answer a query; each has at least one.
    """
    best_N = np.where(right_NM, scores_NM, -np.inf).max(axis=1)
    before_N = ((scores_NM >= best_N[:, None]) & ~right_NM).sum(axis=1)
    r1, r5, r10 = (float((before_N < place).mean()) for place in PLACES)
    return Recall(r1, r5, r10, float(np.median(before_N)) + 1)


def chance(candidates: int, right: Sequence[int], place: int) -> float:
    """Return the recall of a random order.

    Args:
        candidates: number of candidates.
        right: number of right ones of each query.
        place: number of first answers that are looked at.
    """
    found = []
    for count in right:
        # Probability that no right one is among `place` that are drawn without return.
        missed = 1.0
        for drawn in range(min(place, candidates)):
            missed *= max(0, candidates - count - drawn) / (candidates - drawn)
        found.append(1 - missed)
    return float(np.mean(found))
