"""Pixels of clips as rows of a matrix product: cut into patches and normalised, in torch.

Shape suffixes: B clips, T frames, H, W pixels, C colours; T' time steps of patches, P patches of
one step, R = C·t·h·w values of a patch of t frames, h rows and w columns.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Patch(NamedTuple):
    """Size of a patch: frames, rows and columns of pixels."""

    frames: int
    height: int
    width: int


def pixel_rows(
    frames_BTHWC: Tensor, mean_C: Tensor, std_C: Tensor, patch: Patch, dtype: torch.dtype
) -> Tensor:
    """Normalise uint8 pixels and put the values of each patch in a row.

    Args:
        frames_BTHWC: uint8; T, H and W are multiples of the patch's sides.
        mean_C, std_C: of the pixels divided by 255.
        dtype: of the result; computed in float32, or float64 for float64.

    Returns:
        rows_BTPR, R in the order of a convolution's weight: colour, frame, row, column.
    """
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    colours_last = frames_BTHWC.permute(0, 4, 1, 2, 3)
    video_BCTHW = colours_last.to(exact, memory_format=torch.contiguous_format).div_(255)
    video_BCTHW.sub_(mean_C.to(exact).view(-1, 1, 1, 1)).div_(std_C.to(exact).view(-1, 1, 1, 1))
    return cut(video_BCTHW, patch).to(dtype)


def cut(video_BCTHW: Tensor, patch: Patch) -> Tensor:
    """Put the values of each patch of a video in a row: rows_BTPR, as `pixel_rows` does."""
    B, C, T, H, W = video_BCTHW.shape
    t, h, w = patch
    parts = video_BCTHW.reshape(B, C, T // t, t, H // h, h, W // w, w)
    rows = parts.permute(0, 2, 4, 6, 1, 3, 5, 7)
    return rows.reshape(B, T // t, (H // h) * (W // w), C * t * h * w)
