"""OpenCV's filters for resizing, as taps and weights along one axis.

Legend: n length of an axis, k taps of a filter, c colours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BITS = 11  # of OpenCV's integer weights
_CUBIC = -0.75


def weights(
    how: str, length: int, new_length: int, first: int, count: int
) -> tuple[Tensor, Tensor]:
    """Return the taps of a part of a resized axis, on the CPU.

    Args:
        how: bilinear, area (where both axes shrink), `mixed` (area, where one does) or bicubic.
        length, new_length: of the axis before and after, pixels.
        first, count: part of the new axis.

    Returns:
        Places on the old axis, int64 [n, k], and their weights, [n, k]: int32 times 2**11 for
        bilinear and mixed, else float32.
    """
    if how == "area":
        return _area(length, new_length, first, count)
    left_n, share_n = _between(how, length / new_length, first, count)
    if how != "bicubic":
        outside_n = (left_n < 0) | (left_n >= length - 1)
        share_n = torch.where(outside_n, torch.zeros(()), share_n)
        places = torch.stack((left_n, left_n + 1), 1).long().clamp_(0, length - 1)
        both = torch.stack((1 - share_n, share_n), 1)
        return places, (both * (1 << _BITS)).round().int()
    places = (left_n.long()[:, None] + torch.arange(-1, 3)).clamp_(0, length - 1)
    return places, _cubic(share_n)


def _between(how: str, scale: float, first: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the old pixel before each new one, and how far the new one lies behind it."""
    new_n = torch.arange(first, first + count, dtype=torch.float64)
    if how == "mixed":
        left_n = (new_n * scale).floor()
        share_n = (new_n + 1 - (left_n + 1) / scale).float()
        return left_n.float(), torch.where(share_n <= 0, torch.zeros(()), share_n.frac())
    # In float32, as OpenCV: a weight on the edge of two integers must fall as there.
    at_n = ((new_n + 0.5) * scale - 0.5).float()
    left_n = at_n.floor()
    return left_n, at_n - left_n


def _cubic(x_n: Tensor) -> Tensor:
    """Return the four weights of OpenCV's bicubic filter, rounded as it rounds them."""
    a, y_n, z_n = _CUBIC, x_n + 1, 1 - x_n
    first = ((a * y_n - 5 * a) * y_n + 8 * a) * y_n - 4 * a
    second = ((a + 2) * x_n - (a + 3)) * x_n * x_n + 1
    third = ((a + 2) * z_n - (a + 3)) * z_n * z_n + 1
    four = torch.stack((first, second, third, 1 - first - second - third), 1)
    return (four * (1 << _BITS)).round() / (1 << _BITS)


def _area(length: int, new_length: int, first: int, count: int) -> tuple[Tensor, Tensor]:
    """Return what each new pixel covers of the old ones."""
    scale = length / new_length
    taps = math.ceil(scale) + 1
    start_n = torch.arange(first, first + count, dtype=torch.float64) * scale
    places = start_n.floor().long()[:, None] + torch.arange(taps)
    end_n = (start_n + scale).clamp(max=float(length))
    covered = torch.minimum(places + 1.0, end_n[:, None]) - torch.maximum(
        places.double(), start_n[:, None]
    )
    covered = covered.clamp_(min=0)
    return places.clamp_(max=length - 1), (covered / covered.sum(1, keepdim=True)).float()


def mix(taps: Tensor, down_nk: Tensor, across_nk: Tensor) -> Tensor:
    """Mix the pixels beneath a filter into one.

    Args:
        taps: int32 [n, k, n, k, c].
        down_nk, across_nk: weights of rows and columns.

    Returns:
        uint8 [n, n, c].
    """
    wide = (taps * across_nk[:, :, None]).sum(3)
    if down_nk.is_floating_point():
        mixed = (wide * down_nk[:, :, None, None]).sum(1).round_()
    else:  # as OpenCV's instructions do it: each product is cut before the sum
        mixed = ((wide >> 4) * down_nk[:, :, None, None] >> 16).sum(1) + 2 >> 2
    return mixed.clamp_(0, 255).to(torch.uint8)
