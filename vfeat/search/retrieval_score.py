"""R@K of captions and videos, as retrieval papers report it.

Shape suffixes: T captions, V videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

AT = (1, 5, 10)


@dataclass(frozen=True)
class Recall:
    """Shares of queries whose answer is among the first; in [0, 1].

    Attributes:
        at_1, at_5, at_10: share with the answer among the first 1, 5 and 10.
        median_rank: middle place of the answers, from 1.
    """

    at_1: float
    at_5: float
    at_10: float
    median_rank: float


@dataclass(frozen=True)
class RetrievalScores:
    """Both directions under one kind of score.

    Attributes:
        text_to_video: each caption looks for its video.
        video_to_text: each video looks for one of its captions.
    """

    text_to_video: Recall
    video_to_text: Recall

    def to_json(self) -> dict[str, dict[str, float]]:
        """Return a JSON-ready mapping."""
        return asdict(self)


def retrieval_scores(
    order_TV: Sequence[npt.NDArray[np.int64]],
    order_VT: Sequence[npt.NDArray[np.int64]],
    video_T: npt.NDArray[np.int64],
) -> RetrievalScores:
    """Compute the shares from orders.

    Args:
        order_TV: for each caption, all videos, best first.
        order_VT: for each video, all captions, best first.
        video_T: number of each caption's video.
    """
    of_text = [int(np.argmax(order == video_T[t])) for t, order in enumerate(order_TV)]
    of_video = [int(np.argmax(video_T[order] == v)) for v, order in enumerate(order_VT)]
    return RetrievalScores(_recall(of_text), _recall(of_video))


def best_first(
    scores_N: npt.NDArray[np.float32], match_N: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.int64]:
    """Return numbers by falling score; those with a match first, by it.

    Args:
        match_N: probabilities; NaN for what was not compared.
    """
    if match_N is None:
        return np.argsort(-scores_N, kind="stable")
    return np.lexsort((-scores_N, -np.nan_to_num(match_N, nan=-1.0)))


def _recall(ranks: Sequence[int]) -> Recall:
    found = np.array(ranks)
    at_1, at_5, at_10 = (float((found < k).mean()) for k in AT)
    return Recall(at_1, at_5, at_10, float(np.median(found)) + 1)
