"""Both directions' depthwise convolution and SiLU, from one read of x.

    u_f[l] = SiLU(b_f + Σ_w W_f[w] x[l + w - (W-1)])     taps on earlier tokens
    u_b[l] = SiLU(b_b + Σ_w W_b[w] x[l - w + (W-1)])     taps on later tokens

A program owns a tile of tokens and channels; the shifted reads of one tile come from the
first-level cache. Shape suffixes: K directions, B clips, L tokens, E channels, W taps, T tiles of
tokens, V = W + 1 rows of partial sums: the taps, then the bias.
"""

from __future__ import annotations

import triton.language as tl

from .language import jit, narrow, sigmoid, wide


@jit
def shifted(
    tile_LE: tl.tensor,
    token: tl.tensor,
    c: tl.tensor,
    shift: tl.constexpr,
    length: tl.tensor,
    E: tl.constexpr,
    PITCH: tl.constexpr,
) -> tl.tensor:
    """Load the tile `shift` tokens further on, as float32; 0 outside the clip."""
    at = token + shift
    inside = (at >= 0) & (at < length)
    offset = at[:, None] * PITCH + c[None, :]
    return wide(tile_LE + offset, inside[:, None] & (c < E)[None, :])


@jit
def before_activation(
    x_LE: tl.tensor,
    weight_WE: tl.tensor,
    bias_E: tl.tensor,
    token: tl.tensor,
    c: tl.tensor,
    length: tl.tensor,
    E: tl.constexpr,
    X: tl.constexpr,
    W: tl.constexpr,
    SIGN: tl.constexpr,
) -> tl.tensor:
    """Convolve in one direction; SIGN is 1 for taps on earlier tokens, else -1."""
    total = wide(bias_E + c, c < E)[None, :]
    for tap in tl.static_range(W):
        weight = wide(weight_WE + tap * E + c, c < E)
        total += weight[None, :] * shifted(x_LE, token, c, SIGN * (tap - W + 1), length, E, X)
    return total


@jit
def conv_kernel(
    x_BLX: tl.tensor,
    weight_KWE: tl.tensor,
    bias_KE: tl.tensor,
    u_KBLE: tl.tensor,
    length: tl.tensor,
    E: tl.constexpr,
    X: tl.constexpr,
    W: tl.constexpr,
    TB: tl.constexpr,
    CB: tl.constexpr,
) -> None:
    """Compute u of both directions for one tile."""
    c = tl.program_id(0) * CB + tl.arange(0, CB)
    token = tl.program_id(1) * TB + tl.arange(0, TB)
    clip, clips = tl.program_id(2).to(tl.int64), tl.num_programs(2)
    mask = (token < length)[:, None] & (c < E)[None, :]
    x_BLX += clip * length * X
    for k in tl.static_range(2):
        weight, bias = weight_KWE + k * W * E, bias_KE + k * E
        a = before_activation(x_BLX, weight, bias, token, c, length, E, X, W, 1 - 2 * k)
        place = u_KBLE + (k * clips + clip) * length * E
        tl.store(place + token[:, None] * E + c[None, :], narrow(a * sigmoid(a), u_KBLE), mask=mask)


@jit
def conv_slope_kernel(
    x_BLX: tl.tensor,
    weight_KWE: tl.tensor,
    bias_KE: tl.tensor,
    grad_u_KBLE: tl.tensor,
    grad_a_KBLE: tl.tensor,
    sums_BTKVE: tl.tensor,
    length: tl.tensor,
    E: tl.constexpr,
    X: tl.constexpr,
    W: tl.constexpr,
    TB: tl.constexpr,
    CB: tl.constexpr,
) -> None:
    """Compute the gradient before the activation, and this tile's share of taps' and bias's."""
    c = tl.program_id(0) * CB + tl.arange(0, CB)
    tile, tiles = tl.program_id(1), tl.num_programs(1)
    token = tile * TB + tl.arange(0, TB)
    clip, clips = tl.program_id(2).to(tl.int64), tl.num_programs(2)
    mask = (token < length)[:, None] & (c < E)[None, :]
    x_BLX += clip * length * X
    for k in tl.static_range(2):
        weight, bias = weight_KWE + k * W * E, bias_KE + k * E
        a = before_activation(x_BLX, weight, bias, token, c, length, E, X, W, 1 - 2 * k)
        s = sigmoid(a)
        place = (k * clips + clip) * length * E + token[:, None] * E + c[None, :]
        grad_a = wide(grad_u_KBLE + place, mask) * s * (1.0 + a * (1.0 - s))
        tl.store(grad_a_KBLE + place, grad_a, mask=mask)
        sums = sums_BTKVE + ((clip * tiles + tile) * 2 + k) * (W + 1) * E + c
        for tap in tl.static_range(W):
            x = shifted(x_BLX, token, c, (1 - 2 * k) * (tap - W + 1), length, E, X)
            tl.store(sums + tap * E, tl.sum(grad_a * x, 0), mask=c < E)
        tl.store(sums + W * E, tl.sum(grad_a, 0), mask=c < E)


@jit
def conv_input_kernel(
    grad_a_KBLE: tl.tensor,
    weight_KWE: tl.tensor,
    grad_x_BLE: tl.tensor,
    length: tl.tensor,
    E: tl.constexpr,
    W: tl.constexpr,
    TB: tl.constexpr,
    CB: tl.constexpr,
) -> None:
    """Compute the gradient of x: both convolutions transposed, added."""
    c = tl.program_id(0) * CB + tl.arange(0, CB)
    token = tl.program_id(1) * TB + tl.arange(0, TB)
    clip, clips = tl.program_id(2).to(tl.int64), tl.num_programs(2)
    total = tl.zeros((TB, CB), dtype=tl.float32)
    for k in tl.static_range(2):
        grad_a = grad_a_KBLE + (k * clips + clip) * length * E
        for tap in tl.static_range(W):
            weight = wide(weight_KWE + (k * W + tap) * E + c, c < E)
            total += weight[None, :] * shifted(
                grad_a, token, c, (2 * k - 1) * (tap - W + 1), length, E, E
            )
    place = grad_x_BLE + clip * length * E + token[:, None] * E + c[None, :]
    tl.store(place, narrow(total, grad_x_BLE), mask=(token < length)[:, None] & (c < E)[None, :])
