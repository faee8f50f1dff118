"""How much of a sequence, or of its kernels, is computed at once."""

from __future__ import annotations

import torch

# A CPU's chunk fits its cache. A GPU needs enough work in each launch instead: one channel of
# 11,820 steps alone takes it less time than the launch.
GPU_CHUNKS = 64


def for_device(elements: int, device: torch.device) -> int:
    """Return the elements of a chunk on this device.

    Args:
        elements: those of a chunk on a CPU.
    """
    return elements if device.type == "cpu" else GPU_CHUNKS * elements
