"""A trained VideoMamba made deeper, which at first computes what it did before.

New blocks are spread evenly between the old ones. Each is a copy of the one before it whose output
projection is zero, so that it passes on what it gets; and it learns from the first step on,
since the copy's features are those of a trained block.

Source: Wu et al., "LLaMA Pro: Progressive LLaMA with Block Expansion", 2024, section 3.2.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch
from torch import nn

from vfeat.errors import JobError
from vfeat.models.videomamba import BidirectionalMamba, Block, Trunk


@torch.no_grad()
def expand_blocks(model: Trunk, count: int) -> None:
    """Put `count` new blocks into a model; its configuration says so afterwards.

    Raises:
        JobError: more new blocks than it has, or new ones would change which of the others scan
            temporal-first.
    """
    depth = model.config.depth
    if count > depth:
        raise JobError(f"new_blocks: {count} are more than the {depth} blocks of the weights")
    after = {(number + 1) * depth // count - 1 for number in range(count)}
    expanded = nn.ModuleList()
    for index, block in enumerate(model.layers):
        expanded.append(block)
        if index in after:
            expanded.append(_silent_copy(block))
    config = replace(model.config, depth=depth + count)
    if any(_is_temporal_first(b) != config.temporal_first(i) for i, b in enumerate(expanded)):
        raise JobError(
            f"new_blocks: with temporal_every {config.temporal_every}, new blocks would change "
            "which of the others scan temporal-first; that goes with 0 and 1"
        )
    model.layers, model.config = expanded, config


def _silent_copy(block: nn.Module) -> nn.Module:
    """It adds nothing to the stream."""
    copied = deepcopy(block)
    assert isinstance(copied.mixer, BidirectionalMamba)
    nn.init.zeros_(copied.mixer.out_proj.weight)
    return copied


def _is_temporal_first(block: nn.Module) -> bool:
    return isinstance(block, Block) and block.tubelets is not None
