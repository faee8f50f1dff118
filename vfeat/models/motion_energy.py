"""Initial values that make a fresh VideoMamba sensitive to directed motion from its first step.

The direction of motion is an even function of the picture: it is the same for a bright edge and for
a dark one. A randomly initialised network must first find products of pixels across frames before
it can separate any two classes, and stays at chance for thousands of clips. Here three quarters of
the tubelet filters are drifting waves, in pairs a quarter of a period apart, and the first block
squares and adds them: the motion energy model. Nothing is frozen; these are only initial values.

Source: Adelson and Bergen, "Spatiotemporal energy models for the perception of motion", 1985,
section 4.

Legend: D width, C colours, T frames and P side of a tubelet.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vfeat.errors import JobError
from vfeat.models.videomamba import BidirectionalMamba, Trunk

WAVE_SHARE = 0.75
GAIN = 2.0
"""Of the filters' norm: change is fainter than what stands still."""
LONGEST, SHORTEST = 20.0, 4.0
"""Wave lengths in pixels."""
DRIFTS = (0.0, 0.08, 0.16, 0.25, 0.33)
"""Periods a frame; the last are near the limit of half a period."""
COLOURED = 0.2
"""Share of waves in colour; the others are in brightness."""
STATE_GAIN = 3.0
"""Of the projections to B and C, so that the far end of a sequence is heard at the start."""


@torch.no_grad()
def initialise_motion_energy(model: Trunk) -> None:
    """Initialise the patch embedding and the first block, from torch's random state.

    Raises:
        JobError: the model's tubelets have one frame and so carry no motion.
    """
    filters = model.patch_embed.proj
    if not isinstance(filters, nn.Conv3d) or filters.kernel_size[0] < 2:
        raise JobError("initial: motion_energy needs a tubelet_size of at least 2 frames")
    weight_DCTPP = filters.weight
    norm = float(weight_DCTPP.flatten(1).norm(dim=1).mean()) * GAIN
    for row in range(0, int(len(weight_DCTPP) * WAVE_SHARE) // 2 * 2, 2):
        weight_DCTPP[row : row + 2] = norm * _wave_pair(weight_DCTPP[0])
    first = model.layers[0].mixer
    assert isinstance(first, BidirectionalMamba)
    _square_and_add(first)
    for block in model.layers:
        for suffix in ("", "_b"):
            getattr(block.mixer, f"x_proj{suffix}").weight.mul_(STATE_GAIN)


def _wave_pair(like_CTPP: Tensor) -> Tensor:
    """Draw a drifting wave under a soft window, and a second one a quarter period later.

    Returns:
        (2, C, T, P, P), each of norm 1.
    """
    colours, frames, side, _ = like_CTPP.shape
    place_P = torch.arange(side) - (side - 1) / 2
    time_T = torch.arange(frames) - (frames - 1) / 2
    share, drift, turn, colourful = torch.rand(4).tolist()
    cycles = (1 / LONGEST) * (LONGEST / SHORTEST) ** share  # per pixel, log-uniform
    heading = 2 * math.pi * turn
    along_PP = math.sin(heading) * place_P[:, None] + math.cos(heading) * place_P
    periods_TPP = cycles * along_PP - DRIFTS[int(drift * len(DRIFTS))] * time_T[:, None, None]
    window_PP = torch.exp(-(place_P[:, None] ** 2 + place_P**2) / (2 * (0.35 * side) ** 2))
    tint_C = torch.randn(colours) if colourful < COLOURED else torch.ones(colours)
    pair = []
    # Cosine and sine: the sum of their squares does not depend on where the wave stands.
    for wave in (torch.cos, torch.sin):
        wave_TPP = wave(2 * math.pi * periods_TPP) * window_PP
        # Without its mean, a filter does not respond to the brightness of the picture.
        wave_CTPP = tint_C[:, None, None, None] * (wave_TPP - wave_TPP.mean())
        pair.append(wave_CTPP / wave_CTPP.norm())
    return torch.stack(pair)


def _square_and_add(mixer: BidirectionalMamba) -> None:
    """Set the first block so that it passes x and -x, gates them into squares and sums them."""
    one_DD = torch.eye(len(mixer.out_proj.weight))
    # x and -x, each gated by itself: their sum is even in x, like a square.
    mixer.in_proj.weight.copy_(torch.cat([one_DD, -one_DD, one_DD, -one_DD]))
    mixer.out_proj.weight.copy_(torch.cat([one_DD, one_DD], dim=1) / 2)
    for suffix in ("", "_b"):
        conv = getattr(mixer, f"conv1d{suffix}")
        conv.weight.zero_()
        conv.weight[:, 0, -1] = 1  # each token by itself
        conv.bias.zero_()
