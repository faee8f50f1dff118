"""Add to the residual stream and divide by the root mean square, in one pass.

Shape suffixes: M tokens of all clips, D width.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import reference
from .language import jit, narrow, wide
from .launch import launch

DTYPES = (torch.float32, torch.bfloat16)


@jit
def add_norm_kernel(
    hidden_MD: tl.tensor,
    residual_MD: tl.tensor,
    weight_D: tl.tensor,
    normed_MD: tl.tensor,
    stream_MD: tl.tensor,
    epsilon: tl.tensor,
    D: tl.constexpr,
    DB: tl.constexpr,
    ADD: tl.constexpr,
) -> None:
    """Add and normalise one token."""
    column = tl.arange(0, DB)
    mask, row = column < D, tl.program_id(0).to(tl.int64) * D + column
    stream = wide(hidden_MD + row, mask)
    if ADD:
        stream += wide(residual_MD + row, mask)
    tl.store(stream_MD + row, stream, mask=mask)
    scale = tl.rsqrt(tl.sum(stream * stream, 0) / D + epsilon)
    normed = stream * scale * wide(weight_D + column, mask)
    tl.store(normed_MD + row, narrow(normed, normed_MD), mask=mask)


def add_rms_norm(
    hidden_BLD: Tensor, residual_BLD: Tensor | None, weight_D: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Add and normalise; see `reference.add_rms_norm`, which runs under autograd and in float64."""
    given = (hidden_BLD, residual_BLD, weight_D)
    graph = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given)
    if graph or not all(t is None or t.dtype in DTYPES for t in given):
        return reference.add_rms_norm(hidden_BLD, residual_BLD, weight_D, epsilon)
    width = hidden_BLD.shape[-1]
    hidden = hidden_BLD.contiguous()
    residual = hidden if residual_BLD is None else residual_BLD.contiguous()
    normed = torch.empty_like(hidden, dtype=weight_D.dtype)
    stream = torch.empty_like(hidden, dtype=torch.float32)
    launch(
        add_norm_kernel,
        (hidden.numel() // width,),
        *(hidden, residual, weight_D, normed, stream, epsilon),
        warps=4 if width > 512 else 2,
        D=width,
        DB=triton.next_power_of_2(width),
        ADD=residual_BLD is not None,
    )
    return normed, stream
