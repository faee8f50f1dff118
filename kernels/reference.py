"""The operations in plain form: every faster back-end must equal them.

Nothing here is tuned, every operation is differentiable, and float64 stays float64.

Shape suffixes: B batch, L tokens, E channels, N states, W conv taps, R rank of the time step.
`selective_scan` and `causal_conv1d` are channel-major (B, E, L), as in mamba-ssm;
`bidirectional_mamba` is token-major (B, L, 2E), as it leaves in_proj.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023,
section 3 and algorithm 2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import no_autocast, state_dtype
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
    """Run h[l] = exp(dt[l] A) h[l-1] + dt[l] B[l] u[l];  y[l] = C[l]·h[l] + D u[l], gated by z.

    Args:
        B, C: (B, N, L), or (B, G, N, L) with one of G groups for E/G channels, or the constant (E,
            N).
        delta_softplus: dt = softplus(delta + bias), else their sum.
        reverse: run from the last token to the first.

    Returns:
        y_BEL in the dtype of u, and the state after the last step, float32 or float64.
    """
    with no_autocast(u_BEL):
        dtype = state_dtype(u_BEL, delta_BEL, A_EN)
        batch, channels, length = u_BEL.shape
        u, A = u_BEL.to(dtype), A_EN.to(dtype)
        dt = time_step(delta_BEL.to(dtype), delta_bias_E, delta_softplus)
        B_BENL = per_channel(B.to(dtype), batch, channels, length)
        C_BENL = per_channel(C.to(dtype), batch, channels, length)

        h_BEN = u.new_zeros(batch, channels, A.shape[1])
        y: list[Tensor] = [u.new_zeros(batch, channels)] * length
        for step in reversed(range(length)) if reverse else range(length):
            decay_BEN = torch.exp(dt[:, :, step, None] * A)
            input_BE = dt[:, :, step] * u[:, :, step]
            h_BEN = decay_BEN * h_BEN + input_BE[..., None] * B_BENL[..., step]
            y[step] = (h_BEN * C_BENL[..., step]).sum(-1)

        y_BEL = torch.stack(y, dim=-1) if length else torch.zeros_like(u)
        if D_E is not None:
            y_BEL = y_BEL + D_E.to(dtype)[:, None] * u
        if z_BEL is not None:
            y_BEL = y_BEL * F.silu(z_BEL.to(dtype))
        return y_BEL.to(u_BEL.dtype), h_BEN


def time_step(delta_BEL: Tensor, bias_E: Tensor | None, softplus: bool) -> Tensor:
    """Compute the time step of the recurrence from delta and its bias."""
    if bias_E is not None:
        delta_BEL = delta_BEL + bias_E.to(delta_BEL.dtype)[:, None]
    return F.softplus(delta_BEL) if softplus else delta_BEL


def per_channel(B: Tensor, batch: int, channels: int, length: int) -> Tensor:
    """Expand any of the three forms of B and C to (B, E, N, L)."""
    if B.dim() == 2:
        return B[None, :, :, None].expand(batch, -1, -1, length)
    if B.dim() == 3:
        B = B[:, None]
    return B.repeat_interleave(channels // B.shape[1], dim=1)


def causal_conv1d(
    x_BEL: Tensor,
    weight_EW: Tensor,
    bias_E: Tensor | None = None,
    silu: bool = False,
    reverse: bool = False,
) -> Tensor:
    """Convolve depthwise over the current and earlier tokens (later ones in reverse).

    Args:
        weight_EW: the last tap multiplies the current token.
        silu: apply SiLU to the result.

    Returns:
        y_BEL in the dtype of x.
    """
    with no_autocast(x_BEL):
        dtype = state_dtype(x_BEL, weight_EW)
        taps = weight_EW.shape[1]
        x = x_BEL.flip(-1) if reverse else x_BEL
        padded = F.pad(x.to(dtype), (taps - 1, 0))
        y = torch.zeros_like(x, dtype=dtype)
        for tap in range(taps):
            y = y + weight_EW[:, tap, None].to(dtype) * padded[..., tap : tap + x.shape[-1]]
        if bias_E is not None:
            y = y + bias_E.to(dtype)[:, None]
        y = F.silu(y) if silu else y
        return (y.flip(-1) if reverse else y).to(x_BEL.dtype)


def bidirectional_mamba(
    xz_BL2E: Tensor, forward: DirectionWeights, backward: DirectionWeights
) -> Tensor:
    """Run both directions of VideoMamba's block, from in_proj's output to out_proj's input.

    Each direction convolves x, projects its own dt, B and C from it, and scans; the two are added
    without halving and gated once, since both share z.

    Args:
        xz_BL2E: x before z along the last dimension.
        forward, backward: weights of the two directions.

    Returns:
        y_BLE in the dtype of `xz_BL2E`.
    """
    with no_autocast(xz_BL2E):
        x_BEL, z_BEL = (
            xz_BL2E.to(state_dtype(xz_BL2E, forward.A_log_EN)).transpose(1, 2).chunk(2, 1)
        )
        y_BEL = one_direction(x_BEL, z_BEL, forward, reverse=False)
        y_BEL = y_BEL + one_direction(x_BEL, z_BEL, backward, reverse=True)
        return y_BEL.transpose(1, 2).to(xz_BL2E.dtype)


def one_direction(x_BEL: Tensor, z_BEL: Tensor, weights: DirectionWeights, reverse: bool) -> Tensor:
    """Convolve, apply SiLU, project and scan in one direction; gate by z."""
    dtype, rank, states = x_BEL.dtype, weights.rank, weights.states
    u_BEL = causal_conv1d(x_BEL, weights.conv_weight_EW, weights.conv_bias_E, True, reverse)
    projected = weights.x_proj_weight.to(dtype) @ u_BEL
    dt_BRL, B_BNL, C_BNL = torch.split(projected, [rank, states, states], dim=1)
    delta_BEL = weights.dt_weight_ER.to(dtype) @ dt_BRL
    A_EN = -torch.exp(weights.A_log_EN.to(dtype))
    y_BEL, _ = selective_scan(
        u_BEL, delta_BEL, A_EN, B_BNL, C_BNL, weights.D_E, z_BEL, weights.dt_bias_E, True, reverse
    )
    return y_BEL


def add_rms_norm(
    hidden_BLD: Tensor, residual_BLD: Tensor | None, weight_D: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Add to the residual stream, then divide by the root mean square.

    Args:
        residual_BLD: the stream so far; None before the first block.
        epsilon: added to the mean square.

    Returns:
        The normalised sum in the dtype of the weight, and the sum itself, float32 (float64 for
        float64): in bfloat16 the stream alone would triple a model's error.
    """
    stream_BLD = hidden_BLD.to(state_dtype(hidden_BLD))
    if residual_BLD is not None:
        stream_BLD = stream_BLD + residual_BLD
    scale_BL1 = torch.rsqrt(stream_BLD.square().mean(-1, keepdim=True) + epsilon)
    return (stream_BLD * scale_BL1 * weight_D).to(weight_D.dtype), stream_BLD
