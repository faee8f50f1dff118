"""Looking at a clip several times: as it is, mirrored, played backwards.

Shape legend: B clips, C colours, T frames, S side in pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vfeat.job.recipe import FlipSpec


def over_flips(
    scores_BK: Tensor,
    video_BCTSS: Tensor,
    flips: Sequence[FlipSpec],
    score: Callable[[Tensor], Tensor],
) -> Tensor:
    """The mean of a clip's scores and its flips', each class taken where the flip puts it.

    A network that has learnt that a mirrored pan is one to the other side still answers a little
    by chance; the mean of its answers about one thing is better than each.

    Args:
        scores_BK: of the clips as they are.
        score: the network's, for the flipped clips.
    """
    flipped = [score(video_BCTSS.flip(2 + f.dimension))[:, list(f.becomes)] for f in flips]
    return torch.stack([scores_BK, *flipped]).mean(0) if flipped else scores_BK
