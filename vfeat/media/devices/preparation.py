"""Preparation of a picture on its device: what `vfeat.media.frames` does in main memory.

Only the pixels that a crop shows are converted and resized. Bilinear is OpenCV's to the bit where
OpenCV runs its own code; `area` and `bicubic` are within one level of it. Legend: S side, H, W size
of the resized picture, n length of an axis, k taps of a filter.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor

from vfeat.job.recipe import FrameSpec
from vfeat.media.devices.filters import mix, weights
from vfeat.media.devices.surface import Surface
from vfeat.media.frames import check_resized, resized_shape


def prepare_on_device(
    surface: Surface, spec: FrameSpec, sar: Fraction, max_pixels: int, name: str
) -> Tensor:
    """Prepare one decoded picture for stacking into a clip; see `vfeat.media.frames.prepare`.

    Returns:
        uint8 VHWC [crops, size, size, 3] on the device of the picture.

    Raises:
        UnitError: too_large, when a very narrow picture would become a giant.
    """
    size = spec.size
    if spec.fit == "squash":
        height, width, corners = size, size, [(0, 0)]
    else:
        ratio = sar if spec.square_pixels and sar > 0 else Fraction(1)
        height, width = resized_shape(surface.height, surface.width, size, ratio)
        check_resized(height, width, max_pixels, name)
        corners = _corners(height, width, size, spec.crops)
    return torch.stack([_part(surface, spec, (height, width), corner) for corner in corners])


def _corners(height: int, width: int, size: int, count: int) -> list[tuple[int, int]]:
    """Return top and left of each square that `vfeat.media.frames.crops` cuts."""
    if count == 1:
        return [(round((height - size) / 2), round((width - size) / 2))]
    step = (max(height, width) - size) / 2
    starts = [int(i * step) for i in range(3)]
    return [(start, 0) if height >= width else (0, start) for start in starts]


def _filter(spec: FrameSpec, shape: tuple[int, int], resized: tuple[int, int]) -> str:
    """Return the filter that OpenCV applies for the recipe's."""
    if spec.resize != "area":
        return spec.resize
    if resized[0] * resized[1] >= shape[0] * shape[1]:
        return "bilinear"
    both = resized[0] <= shape[0] and resized[1] <= shape[1]
    return "area" if both else "mixed"


def _part(
    surface: Surface, spec: FrameSpec, resized: tuple[int, int], corner: tuple[int, int]
) -> Tensor:
    """Return one square of the resized picture, uint8 HWC."""
    shape = (surface.height, surface.width)
    device, size = surface.device, spec.size
    if shape == resized:
        rows, columns = (torch.arange(first, first + size, device=device) for first in corner)
        return surface.rgb(rows, columns).to(torch.uint8)
    how = _filter(spec, shape, resized)
    (rows_nk, down_nk), (columns_nk, across_nk) = (
        _axis(how, length, new, first, size, device)
        for length, new, first in zip(shape, resized, corner, strict=True)
    )
    pixels = surface.rgb(rows_nk.flatten(), columns_nk.flatten())
    taps = pixels.view(size, rows_nk.shape[1], size, columns_nk.shape[1], 3)
    return mix(taps, down_nk, across_nk)


@lru_cache(64)
def _axis(
    how: str, length: int, new: int, first: int, count: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the taps of an axis on the device; those of one video are made once."""
    places_nk, weights_nk = weights(how, length, new, first, count)
    return places_nk.to(device), weights_nk.to(device)
