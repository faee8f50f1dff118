"""How much a clip counts as evidence: recurring ones and unchanging ones count for nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfeat.duplicates.candidates import Hits
from vfeat.duplicates.clips import F32, Clips

COMMON = 8
"""Other videos in which a clip may occur before it counts as an intro, a logo or black frames."""
_FEWEST = 3
_ALIKE = 0.4
"""Excess from which a hit counts as an occurrence."""
_CHANGE = 0.25
"""Cosine distance to the same video one clip earlier that counts as new content in full."""


@dataclass(frozen=True)
class Weights:
    """Weight of each clip as evidence.

    Attributes:
        recurs_N: the clip occurs in too many other videos.
        novelty_N: from 0 (the video does not change there) to 1.
    """

    recurs_N: npt.NDArray[np.bool_]
    novelty_N: F32


def usual_common(videos: int) -> int:
    """Return COMMON; in small datasets a sixth of the videos."""
    return min(COMMON, max(_FEWEST, videos // 6))


def weigh(clips: Clips, hits: Hits, common: int) -> Weights:
    """Weigh every clip.

    Args:
        common: other videos in which a clip may occur.
    """
    return Weights(_recurring(clips, hits, common), _novelty(clips))


def _recurring(clips: Clips, hits: Hits, common: int) -> npt.NDArray[np.bool_]:
    strong = hits.excess_H >= _ALIKE
    asked, found = hits.asked_H[strong], hits.found_H[strong]
    if clips.across:  # both sides count what they met on the other
        asked, found = np.concatenate([asked, found]), np.concatenate([found, asked])
    videos = len(clips.uris)
    met = np.unique(asked * videos + clips.video_N[found])
    return np.bincount(met // videos, minlength=len(clips.video_N)) > common


def _novelty(clips: Clips) -> F32:
    """Compare each clip with the one that ends where it begins; the first ones with the next."""
    clip_s, stride_s = clips.grid()
    lag = max(1, round(clip_s / stride_s))
    novelty = np.ones(len(clips.video_N), np.float32)
    for video in range(len(clips.uris)):
        rows = clips.rows(video)
        vectors = np.asarray(clips.vectors_ND[rows])
        if len(vectors) > lag:
            change = 1 - np.einsum("nd,nd->n", vectors[lag:], vectors[:-lag])
            both = np.concatenate([change[:lag], change])[: len(vectors)]
            novelty[rows] = np.clip(both / _CHANGE, 0, 1)
    return novelty
