"""Clips as they come from a decoder, with what it takes to normalise them.

A network that begins with patches multiplies their values straight from the uint8 pixels; others
take the normalised video. Shape suffixes: B clips, C colours, T frames, H, W pixels; P patches of a
time step, R values of a patch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vfeat import ops


@dataclass(frozen=True)
class Pixels:
    """Clips that are not yet normalised; their shape is given as that of the video.

    Attributes:
        frames_BTHWC: uint8.
        mean_C, std_C: of pixels in [0, 1], on the device of the frames.
    """

    frames_BTHWC: Tensor
    mean_C: Tensor
    std_C: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (B, C, T, H, W)."""
        B, T, H, W, C = self.frames_BTHWC.shape
        return B, C, T, H, W

    def dim(self) -> int:
        """Return the number of dimensions, 5."""
        return 5

    def flip(self, dimension: int) -> Pixels:
        """Turn one dimension of (B, C, T, H, W) around: 2, 3 or 4."""
        return replace(self, frames_BTHWC=self.frames_BTHWC.flip(dimension - 1))

    def video(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the normalised video (B, C, T, H, W)."""
        B, C, T, H, W = self.shape
        return self.rows(ops.Patch(T, H, W), dtype).view(B, C, T, H, W)

    def rows(self, patch: ops.Patch, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the normalised values of each patch (B, T', P, R); see `ops.pixel_rows`."""
        return ops.pixel_rows(self.frames_BTHWC, self.mean_C, self.std_C, patch, dtype)
