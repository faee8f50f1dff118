"""Configuration of an expanded VideoMamba, and the positions of its new blocks.

Imports no torch, because a dry run uses it too.
"""

from __future__ import annotations

from dataclasses import replace

from vfeat.errors import JobError
from vfeat.models.videomamba_config import VideoMambaConfig


def expanded_config(config: VideoMambaConfig, count: int) -> VideoMambaConfig:
    """Return the configuration with `count` more blocks.

    Raises:
        JobError: there are more new blocks than old ones, or the new ones would change which of the
            others scan temporal-first.
    """
    if count > config.depth:
        raise JobError(
            f"new_blocks: {count} are more than the {config.depth} blocks of the weights"
        )
    deeper = replace(config, depth=config.depth + count)
    order = expanded_order(config.depth, count)
    if any(config.temporal_first(o) != deeper.temporal_first(i) for i, o in enumerate(order)):
        raise JobError(
            f"new_blocks: with temporal_every {config.temporal_every}, new blocks would change "
            "which of the others scan temporal-first; that goes with 0 and 1"
        )
    return deeper


def expanded_order(depth: int, count: int) -> list[int]:
    """Return for each block the index of its origin among the old ones.

    A new block follows the one that it copies. The new ones are spread evenly; the last stands at
    the end.

    Args:
        depth: number of old blocks.
        count: number of new blocks, at most `depth`.

    Returns:
        depth + count indices, in the order of the new network.
    """
    copied = {(number + 1) * depth // count - 1 for number in range(count)}
    return [block for block in range(depth) for _ in range(1 + (block in copied))]
