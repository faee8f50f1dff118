"""The operations of the `torch` back-end: layouts and dtypes around the scan.

Arguments and results are those of `reference`. Both directions of a block run as one batch, the
second on reversed tokens, which halves the number of small operations.

Shape suffixes: B batch, L tokens, E channels, N states, W conv taps, G groups.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import no_autocast, state_dtype
from .reference import time_step
from .sequential import Operands, scan
from .weights import DirectionWeights


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
    """Run the scan; see `reference.selective_scan`."""
    with no_autocast(u_BEL):
        dtype = state_dtype(u_BEL, delta_BEL, A_EN)
        u = u_BEL.to(dtype)
        dt = time_step(delta_BEL.to(dtype), delta_bias_E, delta_softplus)
        operands = _grouped(u, dt, A_EN.to(dtype), B.to(dtype), C.to(dtype))
        if reverse:
            operands = _reversed(operands)
        y, h = scan(operands)
        y_BEL = (y.flip(1) if reverse else y).transpose(1, 2).reshape(u.shape)
        h_BEN = h.transpose(1, 2).reshape(*u.shape[:2], A_EN.shape[1])
        if D_E is not None:
            y_BEL = y_BEL + D_E.to(dtype)[:, None] * u
        if z_BEL is not None:
            y_BEL = y_BEL * F.silu(z_BEL.to(dtype))
        return y_BEL.to(u_BEL.dtype), h_BEN


def _grouped(u_BEL: Tensor, dt_BEL: Tensor, A_EN: Tensor, B: Tensor, C: Tensor) -> Operands:
    """Move groups of channels that share B and C into the batch dimension."""
    batch, channels, length = u_BEL.shape
    B_BGNL, C_BGNL = (_as_groups(t, batch, length) for t in (B, C))
    groups = max(B_BGNL.shape[1], C_BGNL.shape[1])
    per_group = channels // groups
    shape = (batch * groups, per_group, length)
    A_GNE = A_EN.reshape(groups, per_group, A_EN.shape[1]).transpose(1, 2)
    return Operands(
        u_BEL.reshape(shape).transpose(1, 2),
        dt_BEL.reshape(shape).transpose(1, 2),
        A_GNE.expand(batch, -1, -1, -1).flatten(0, 1),
        _tokens_first(B_BGNL, groups),
        _tokens_first(C_BGNL, groups),
    )


def _as_groups(B: Tensor, batch: int, length: int) -> Tensor:
    """Bring (B, N, L), (B, G, N, L) or the constant (E, N) to (B, G, N, L)."""
    if B.dim() == 2:
        return B[None, :, :, None].expand(batch, -1, -1, length)
    return B[:, None] if B.dim() == 3 else B


def _tokens_first(B_BGNL: Tensor, groups: int) -> Tensor:
    """Bring to (B * groups, L, N); repeat a single group if the other operand has more."""
    batch, own, states, length = B_BGNL.shape
    if own != groups:
        B_BGNL = B_BGNL.repeat_interleave(groups // own, dim=1)
    return B_BGNL.reshape(batch * groups, states, length).transpose(1, 2)


def _reversed(operands: Operands) -> Operands:
    """Flip the operands, so that the recurrence runs from the last token to the first."""
    u, dt, A, B, C = operands
    return Operands(u.flip(1), dt.flip(1), A, B.flip(1), C.flip(1))


def causal_conv1d(
    x_BEL: Tensor,
    weight_EW: Tensor,
    bias_E: Tensor | None = None,
    silu: bool = False,
    reverse: bool = False,
) -> Tensor:
    """Convolve; see `reference.causal_conv1d`."""
    with no_autocast(x_BEL):
        dtype = state_dtype(x_BEL, weight_EW)
        x_BLE = x_BEL.to(dtype).transpose(1, 2)
        bias = None if bias_E is None else bias_E.to(dtype)
        y_BLE = _conv_tokens(
            x_BLE.flip(1) if reverse else x_BLE, weight_EW.to(dtype).t().unsqueeze(1), bias
        )
        y_BLE = F.silu(y_BLE) if silu else y_BLE
        return (y_BLE.flip(1) if reverse else y_BLE).transpose(1, 2).to(x_BEL.dtype)


def _conv_tokens(x_LE: Tensor, weight_W1E: Tensor, bias_1E: Tensor | None) -> Tensor:
    """Convolve causally and depthwise over the last but one dimension.

    Args:
        x_LE: input; any leading dimensions may come before L.
        weight_W1E: one row of channels for each tap, broadcast against `x_LE`.
    """
    taps, length = weight_W1E.shape[0], x_LE.shape[-2]
    padded = F.pad(x_LE, (0, 0, taps - 1, 0))
    y = padded[..., :length, :] * weight_W1E[0]
    for tap in range(1, taps):
        y.addcmul_(padded[..., tap : tap + length, :], weight_W1E[tap])
    return y if bias_1E is None else y.add_(bias_1E)


def bidirectional_mamba(
    xz_BL2E: Tensor, forward: DirectionWeights, backward: DirectionWeights
) -> Tensor:
    """Run the block; see `reference.bidirectional_mamba`. The leading 2 below counts directions."""
    with no_autocast(xz_BL2E):
        dtype = state_dtype(xz_BL2E, forward.A_log_EN)
        x_BLE, z_BLE = xz_BL2E.to(dtype).chunk(2, dim=-1)
        both = _stacked(forward, backward, dtype)
        u_2BLE = F.silu(_both_convolved(x_BLE, both))
        y_2BLE = _both_scanned(u_2BLE, both)
        y_2BLE = torch.addcmul(y_2BLE, u_2BLE, both.D_E[:, None, None])
        y_BLE = (y_2BLE[0] + y_2BLE[1].flip(1)) * F.silu(z_BLE)
        return y_BLE.to(xz_BL2E.dtype)


def _stacked(
    forward: DirectionWeights, backward: DirectionWeights, dtype: torch.dtype
) -> DirectionWeights:
    """Stack both directions' weights with a leading 2; a missing bias is zero."""

    def bias(weights: DirectionWeights) -> Tensor:
        given = weights.conv_bias_E
        return weights.D_E.new_zeros(weights.D_E.shape) if given is None else given

    pairs = zip(
        forward._replace(conv_bias_E=bias(forward)),
        backward._replace(conv_bias_E=bias(backward)),
        strict=True,
    )
    stacked = [
        torch.stack([a.to(dtype), b.to(dtype)]) for a, b in pairs if a is not None and b is not None
    ]
    return DirectionWeights(*stacked)


def _both_convolved(x_BLE: Tensor, both: DirectionWeights) -> Tensor:
    """Convolve in each direction, in the second on reversed tokens: u_2BLE."""
    assert both.conv_bias_E is not None  # _stacked filled it
    x_2BLE = torch.stack([x_BLE, x_BLE.flip(1)])
    weight_W2E = both.conv_weight_EW.permute(2, 0, 1)[:, :, None, None]
    return _conv_tokens(x_2BLE, weight_W2E, both.conv_bias_E[:, None, None])


def _both_scanned(u_2BLE: Tensor, both: DirectionWeights) -> Tensor:
    """Project and scan both directions, without the skip: y_2BLE."""
    two, batch, length, channels = u_2BLE.shape
    rank, states = both.dt_weight_ER.shape[2], both.A_log_EN.shape[2]
    projected = u_2BLE.flatten(1, 2) @ both.x_proj_weight.transpose(1, 2)
    dt, B, C = torch.split(projected, [rank, states, states], dim=-1)
    delta = torch.baddbmm(both.dt_bias_E[:, None], dt, both.dt_weight_ER.transpose(1, 2))
    A_2NE = -torch.exp(both.A_log_EN.transpose(1, 2))
    y, _ = scan(
        Operands(
            u_2BLE.flatten(0, 1),
            F.softplus(delta).view(two * batch, length, channels),
            A_2NE[:, None].expand(-1, batch, -1, -1).flatten(0, 1),
            B.reshape(two * batch, length, states),
            C.reshape(two * batch, length, states),
        )
    )
    return y.view(u_2BLE.shape)
