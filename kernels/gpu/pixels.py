"""Pixels of clips as rows of a matrix product, from uint8 in one pass over memory.

The first product of a network reads its patches from these rows, so that no float32 picture, and no
transposed copy of one, is ever written. Shape suffixes as in `kernels.pixels`.
"""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from ..pixels import Patch
from .language import jit, narrow
from .launch import launch

# Values of one program: 4 bytes in, 8 or 16 bytes out for each of 256 threads.
BLOCK = 1024


@jit
def pixel_rows_kernel(
    frames_BTHWC: tl.tensor,
    scale_C: tl.tensor,
    shift_C: tl.tensor,
    rows_BTPR: tl.tensor,
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,
    PT: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    VB: tl.constexpr,
) -> None:
    """Write a part of one strip: the patches that lie beside each other in one time step.

    A strip is as long, and as contiguous, among the rows as among the pixels.
    """
    LENGTH: tl.constexpr = PT * PH * W * C
    strip = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * VB + tl.arange(0, VB)
    mask = place < LENGTH
    column, row = place % PW, place // PW % PH
    frame, colour = place // (PW * PH) % PT, place // (PW * PH * PT) % C
    patch = place // (PW * PH * PT * C)
    step, line = strip // (H // PH), strip % (H // PH)
    pixel = ((step * PT + frame) * H + line * PH + row) * W + patch * PW + column
    value = tl.load(frames_BTHWC + pixel * C + colour, mask=mask, other=0).to(tl.float32)
    scale = tl.load(scale_C + colour, mask=mask, other=0.0)
    shift = tl.load(shift_C + colour, mask=mask, other=0.0)
    tl.store(
        rows_BTPR + strip * LENGTH + place, narrow(value * scale + shift, rows_BTPR), mask=mask
    )


def pixel_rows(
    frames_BTHWC: Tensor, mean_C: Tensor, std_C: Tensor, patch: Patch, dtype: torch.dtype
) -> Tensor:
    """Normalise and cut; see `kernels.pixels.pixel_rows`."""
    B, T, H, W, C = frames_BTHWC.shape
    steps, patches = T // patch.frames, (H // patch.height) * (W // patch.width)
    values = C * patch.frames * patch.height * patch.width
    rows_BTPR = frames_BTHWC.new_empty(B, steps, patches, values, dtype=dtype)
    scale_C = (1 / (255 * std_C.double())).float()
    shift_C = (-mean_C.double() / std_C.double()).float()
    length = patch.frames * patch.height * W * C
    launch(
        pixel_rows_kernel,
        (B * steps * (H // patch.height), -(-length // BLOCK)),
        *(frames_BTHWC.contiguous(), scale_C, shift_C, rows_BTPR),
        warps=8,
        H=H,
        W=W,
        C=C,
        PT=patch.frames,
        PH=patch.height,
        PW=patch.width,
        VB=BLOCK,
    )
    return rows_BTPR
