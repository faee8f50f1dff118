"""The only place that launches kernels, and the number of programs of a launch."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

# A program's channels: a warp, one channel to a thread, so that no barrier is needed.
CHANNELS = 32
# A chunk of the backward pass, whose first state is stored: 1 byte per token and channel.
CHUNK_TOKENS = 64
# Multiprocessors of an H200, for devices that cannot be queried.
MULTIPROCESSORS = 132


def launch(
    kernel: Any, grid: tuple[int, ...], *arguments: Any, warps: int, **constants: Any
) -> None:
    """Launch `kernel` on the device of its first tensor; do nothing for an empty grid."""
    if not math.prod(grid):
        return
    device = next(a.device for a in arguments if isinstance(a, Tensor))
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        kernel[grid](*arguments, num_warps=warps, **constants)


def blocks(channels: int) -> int:
    """Return the number of programs that a clip's channels are divided among."""
    return -(-channels // CHANNELS)


def segment_tokens(clips: int, channels: int, length: int, device: torch.device) -> int:
    """Return the tokens that one program scans in inference; `length` when the batch fills the GPU.

    Segments cost the exponentials twice, so they pay below half of one warp for each of a
    multiprocessor's four schedulers; then there are enough of them for two warps each. Chosen by
    arithmetic, not by measurement.
    """
    if device.type == "cuda":
        schedulers = 4 * torch.cuda.get_device_properties(device).multi_processor_count
    else:
        schedulers = 4 * MULTIPROCESSORS
    warps = clips * blocks(channels)
    if 2 * warps >= schedulers:
        return length
    segments = -(-2 * schedulers // max(1, warps))
    return max(CHUNK_TOKENS // 2, -(-length // segments))


def rows_contiguous(tensor: Tensor) -> Tensor:
    """Return the tensor itself if its rows lie one after another at one pitch, else a copy.

    Kernels take a row pitch, so half of in_proj's output needs no copy.
    """
    *outer, row = tensor.stride()
    wanted = [tensor.stride(-2) * math.prod(tensor.shape[i + 1 : -1]) for i in range(len(outer))]
    return tensor if row == 1 and outer == wanted else tensor.contiguous()
