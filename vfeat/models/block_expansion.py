"""Block expansion: make a trained VideoMamba deeper without changing its initial output.

New blocks are spread evenly between the old ones. Each is a copy of the block before it with a
zeroed output projection, so that it adds nothing at first. It learns from the first step on,
because the copy's features are those of a trained block.

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
    """Insert `count` new blocks into a model and update its configuration.

    Raises:
        JobError: as `expanded_config`; the model is then unchanged.
    """
    config = expanded_config(model.config, count)
    order = expanded_order(model.config.depth, count)
    model.layers = nn.ModuleList(
        _identity_block(model.layers[block]) if block == before else model.layers[block]
        for before, block in pairwise([-1, *order])
    )
    model.config = config


def _identity_block(block: nn.Module) -> nn.Module:
    """Copy a block with zeroed out_proj, so that it initially outputs zero."""
    copied = deepcopy(block)
    assert isinstance(copied.mixer, BidirectionalMamba)
    nn.init.zeros_(copied.mixer.out_proj.weight)
    return copied
