"""A trained VideoMamba made deeper, which at first computes what it did before.

New blocks are spread evenly between the old ones. Each is a copy of the one before it whose output
projection is zero, so that it passes on what it gets; and it learns from the first step on,
since the copy's features are those of a trained block.

Source: Wu et al., "LLaMA Pro: Progressive LLaMA with Block Expansion", 2024, section 3.2.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import torch
from torch import nn

from vfeat.models.videomamba import BidirectionalMamba, Trunk
from vfeat.models.videomamba_config import expanded_config, expanded_order


@torch.no_grad()
def expand_blocks(model: Trunk, count: int) -> None:
    """Put `count` new blocks into a model; its configuration says so afterwards.

    Raises:
        JobError: as `expanded_config`; the model is left as it was.
    """
    config = expanded_config(model.config, count)
    order = expanded_order(model.config.depth, count)
    model.layers = nn.ModuleList(
        _silent_copy(model.layers[block]) if block == before else model.layers[block]
        for before, block in pairwise([-1, *order])
    )
    model.config = config


def _silent_copy(block: nn.Module) -> nn.Module:
    """It adds nothing to the stream."""
    copied = deepcopy(block)
    assert isinstance(copied.mixer, BidirectionalMamba)
    nn.init.zeros_(copied.mixer.out_proj.weight)
    return copied
