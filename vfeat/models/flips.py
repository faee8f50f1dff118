"""Test-time flips: classify a clip as it is, mirrored and played backwards.

Shape legend: B clips, C colours, T frames, S side in pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from vfeat.job.recipe import FlipSpec
from vfeat.models.pixels import Pixels

Clips = TypeVar("Clips", Tensor, Pixels)


def over_flips(
    scores_BK: Tensor,
    video_BCTSS: Clips,
    flips: Sequence[FlipSpec],
    score: Callable[[Clips], Tensor],
) -> Tensor:
    """Average a clip's scores with those of its flips, after mapping each class to its counterpart.

    A mirrored pan to the left is a pan to the right. The network's errors on the flipped clips are
    partly independent, so that the mean is more accurate than a single pass.

    Args:
        scores_BK: scores of the unflipped clips.
        video_BCTSS: the unflipped clips.
        flips: dimension and class permutation of each flip.
        score: returns the scores (B, K) of flipped clips.

    Returns:
        Mean scores (B, K); `scores_BK` itself if there are no flips.
    """
    flipped: list[Tensor] = [
        score(video_BCTSS.flip(2 + f.dimension))[:, list(f.becomes)] for f in flips
    ]
    return torch.stack([scores_BK, *flipped]).mean(0) if flipped else scores_BK
