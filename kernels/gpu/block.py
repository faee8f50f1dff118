"""VideoMamba's block between in_proj and out_proj, and the scan by itself.

    x, z = xz        one convolution for both directions       u
    u -> B, C, dt    one batched GEMM, its result in float32
    dt -> delta      one batched GEMM
    scan             both directions, their sum, the gate      y

Shape suffixes: K directions, B clips, L tokens, E channels, N states, M = B·L,
P columns of x_proj with B and C first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import torch_ops
from ..precision import no_autocast
from ..weights import DirectionWeights
from .conv_ops import conv_both
from .prepared import LOG2E, prepare
from .scan_ops import Form, Operands, scan

# torch 2.8 and later can return a bfloat16 GEMM's float32 sums; before, the operands are widened.
WIDE_BMM = hasattr(torch.ops.aten.bmm, "dtype")
# More states than this leave a thread no registers; blocks of Triton are powers of two.
STATES = (1, 2, 4, 8, 16, 32)


def bidirectional_mamba(
    xz_BL2E: Tensor, forward: DirectionWeights, backward: DirectionWeights
) -> Tensor:
    """Run the block; see `reference.bidirectional_mamba`. Runs in torch for unsupported shapes."""
    alike = {(w.rank, w.states, w.conv_weight_EW.shape[1]) for w in (forward, backward)}
    if len(alike) > 1 or forward.states not in STATES:
        return torch_ops.bidirectional_mamba(xz_BL2E, forward, backward)
    with no_autocast(xz_BL2E):
        weights = prepare(forward, backward, xz_BL2E.dtype)
        x_BLE, z_BLE = xz_BL2E.chunk(2, dim=-1)
        u_KBLE = conv_both(x_BLE, weights.conv_KWE, weights.conv_bias_KE)
        projected_KMP = wide_product(u_KBLE.flatten(1, 2), weights.project_KEP)
        BC_columns = 2 * forward.states
        dt_KMR = projected_KMP[..., BC_columns : BC_columns + forward.rank]
        delta_KME = torch.bmm(dt_KMR.to(xz_BL2E.dtype), weights.dt_KRE)
        operands = Operands(
            u_KBLE,
            delta_KME.view(u_KBLE.shape),
            projected_KMP.view(*u_KBLE.shape[:3], projected_KMP.shape[2])[..., :BC_columns],
            weights.A_KNE,
            weights.dt_bias_KE,
            weights.skip_KE,
            z_BLE,
        )
        return scan(operands, Form())[0]


def selective_scan(
    u_BEL: Tensor,
    delta_BEL: Tensor,
    A_EN: Tensor,
    B: Tensor,
    C: Tensor,
    D_E: Tensor | None = None,
    z_BEL: Tensor | None = None,
    delta_bias_E: Tensor | None = None,
    delta_softplus: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Run the scan; see `reference.selective_scan`. Runs in torch for several groups of B or C."""
    simple = all(t.dim() == 3 or (t.dim() == 4 and t.shape[1] == 1) for t in (B, C))
    if not simple or A_EN.shape[1] not in STATES:
        return torch_ops.selective_scan(
            u_BEL, delta_BEL, A_EN, B, C, D_E, z_BEL, delta_bias_E, delta_softplus, reverse
        )
    with no_autocast(u_BEL):
        B_BNL, C_BNL = (t.flatten(0, 1) if t.dim() == 4 else t for t in (B, C))
        zero_E = torch.zeros_like(A_EN[:, 0], dtype=torch.float32)
        operands = Operands(
            u_BEL.mT[None],
            delta_BEL.mT[None],
            torch.cat([B_BNL, C_BNL], dim=1).float().mT[None],
            (A_EN.float() * LOG2E).t()[None],
            (zero_E if delta_bias_E is None else delta_bias_E.float())[None],
            (zero_E if D_E is None else D_E.float())[None],
            None if z_BEL is None else z_BEL.mT,
        )
        y_BLE, last_KBNE = scan(operands, Form(reverse, delta_softplus, last=True))
        assert last_KBNE is not None  # asked for
        return y_BLE.mT, last_KBNE[0].mT


def wide_product(u_KME: Tensor, weight_KEP: Tensor) -> Tensor:
    """Compute the batched product in float32, without rounding to the dtype of u in between."""
    if u_KME.dtype == torch.float32:
        return torch.bmm(u_KME, weight_KEP)
    product: Tensor = _WideProduct.apply(u_KME, weight_KEP)  # type: ignore[no-untyped-call]
    return product


class _WideProduct(torch.autograd.Function):
    """GEMM of bfloat16 operands to a float32 result; gradients in bfloat16, as any GEMM's."""

    @staticmethod
    def forward(ctx: Any, u_KME: Tensor, weight_KEP: Tensor) -> Tensor:
        ctx.save_for_backward(u_KME, weight_KEP)
        if u_KME.is_cuda and WIDE_BMM:
            return torch.bmm(u_KME, weight_KEP, out_dtype=torch.float32)
        return torch.bmm(u_KME.float(), weight_KEP.float())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_KMP: Tensor) -> tuple[Tensor, Tensor]:
        u_KME, weight_KEP = ctx.saved_tensors
        grad = grad_KMP.to(u_KME.dtype)
        return torch.bmm(grad, weight_KEP.mT), torch.bmm(u_KME.mT, grad)
