"""The recurrence, backward: see `kernels/README.md` for the formulas.

A program owns a block of channels of one clip in one direction, and goes through the tokens' chunks
from the last to the first. For each chunk it recomputes the states from the stored one before it,
into a scratch that it reuses for the next, and then runs the recurrence of the gradient. Sums over
channels (those of B and C) are written once for each block and added up afterwards, in a fixed
order: no atomics.

Shape suffixes as in `scan.py`; T tokens of a chunk, G blocks of channels.
"""

from __future__ import annotations

import triton.language as tl

from .language import LN2, LOG2E, exp2, jit, jit_states, narrow, reciprocal, steps, wide
from .scan import advance, block_of_states, time_step


@jit
def keep_states(
    u_LE: tl.tensor,
    delta_LE: tl.tensor,
    BC_LP: tl.tensor,
    scratch_TNE: tl.tensor,
    A: tl.tensor,
    bias: tl.tensor,
    h: tl.tensor,
    token: tl.tensor,
    step: tl.tensor,
    count: tl.tensor,
    mask: tl.tensor,
    E: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
    SOFTPLUS: tl.constexpr,
) -> None:
    """Write the state before each of `count` tokens."""
    for t in steps(count):
        tl.store(scratch_TNE + t * N * E, h, mask=mask[None, :])
        dt = time_step(wide(delta_LE + token * E, mask), bias, SOFTPLUS)
        h = advance(h, A, dt, wide(u_LE + token * E, mask), tl.load(BC_LP + token * P))
        token += step


@jit
def slope(delta: tl.tensor, SOFTPLUS: tl.constexpr) -> tl.tensor:
    """Compute the derivative of the time step by delta plus bias."""
    if SOFTPLUS:
        e = exp2(-tl.abs(delta) * LOG2E)
        y = tl.where(delta < 0, e, 1.0) * reciprocal(1.0 + e)
    else:
        y = tl.full(delta.shape, 1.0, tl.float32)
    return y


@jit
def chunk_gradients(
    u_LE: tl.tensor,
    delta_LE: tl.tensor,
    BC_LP: tl.tensor,
    grad_y_LE: tl.tensor,
    scratch_TNE: tl.tensor,
    grad_u_LE: tl.tensor,
    grad_delta_LE: tl.tensor,
    grad_BC_LQ: tl.tensor,
    A: tl.tensor,
    bias: tl.tensor,
    skip: tl.tensor,
    sums: tl.tensor,
    token: tl.tensor,
    step: tl.tensor,
    count: tl.tensor,
    mask: tl.tensor,
    E: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
    SOFTPLUS: tl.constexpr,
) -> tl.tensor:
    """Run the gradient's recurrence from `token`, the chunk's last in its direction, to its first.

    `sums` are the gradient of the state, then those of A, bias and skip so far.
    """
    carry, grad_A, grad_bias, grad_skip = sums
    for t in steps(count):
        before = wide(scratch_TNE + (count - 1 - t) * N * E, mask[None, :])
        u, raw = wide(u_LE + token * E, mask), wide(delta_LE + token * E, mask) + bias
        B, C = tl.load(BC_LP + token * P), tl.load(BC_LP + token * P + N)
        grad_y = wide(grad_y_LE + token * E, mask)
        dt = time_step(raw, 0.0, SOFTPLUS)
        decay = exp2(dt[None, :] * A)
        h = decay * before + (dt * u)[None, :] * B[:, None]
        g = grad_y[None, :] * C[:, None] + carry
        carry = decay * g
        tl.store(grad_BC_LQ + token * 2 * N, tl.sum(g * (dt * u)[None, :], 1))
        tl.store(grad_BC_LQ + token * 2 * N + N, tl.sum(h * grad_y[None, :], 1))
        grad_input = tl.sum(g * B[:, None], 0)
        grad_exponent = carry * before
        grad_A += grad_exponent * dt[None, :] * LN2
        grad_dt = grad_input * u + tl.sum(grad_exponent * A, 0) * LN2
        grad_raw = grad_dt * slope(raw, SOFTPLUS)
        grad_bias += grad_raw
        grad_skip += grad_y * u
        grad_u = grad_input * dt + grad_y * skip
        tl.store(grad_u_LE + token * E, narrow(grad_u, grad_u_LE), mask=mask)
        tl.store(grad_delta_LE + token * E, narrow(grad_raw, grad_delta_LE), mask=mask)
        token -= step
    return carry, grad_A, grad_bias, grad_skip


@jit_states
def scan_grad_kernel(
    u_KBLE: tl.tensor,
    delta_KBLE: tl.tensor,
    BC_KBLP: tl.tensor,
    A_KNE: tl.tensor,
    bias_KE: tl.tensor,
    skip_KE: tl.tensor,
    start_KBSNE: tl.tensor,
    grad_y_BLE: tl.tensor,
    grad_last_KBNE: tl.tensor,
    scratch_KBTNE: tl.tensor,
    grad_u_KBLE: tl.tensor,
    grad_delta_KBLE: tl.tensor,
    grad_BC_GKBLQ: tl.tensor,
    grad_A_KBNE: tl.tensor,
    grad_bias_KBE: tl.tensor,
    grad_skip_KBE: tl.tensor,
    batch: tl.tensor,
    length: tl.tensor,
    segments: tl.tensor,
    E: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
    CB: tl.constexpr,
    TOKENS: tl.constexpr,
    REVERSE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
) -> None:
    """Compute gradients of everything but z, given that of the sum before the gate."""
    block, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    rows = tl.num_programs(1)
    direction, clip = row // batch, row % batch
    backward = (direction + REVERSE).to(tl.int32)
    step = 1 - 2 * backward
    c, n = block * CB + tl.arange(0, CB), tl.arange(0, N)
    mask, states = c < E, block_of_states(c, N, E)
    A = wide(A_KNE + direction * N * E + states, mask[None, :])
    bias = wide(bias_KE + direction * E + c, mask)
    skip = wide(skip_KE + direction * E + c, mask)
    tokens_KBLE = row * length * E + c
    u_KBLE += tokens_KBLE
    delta_KBLE += tokens_KBLE
    grad_u_KBLE += tokens_KBLE
    grad_delta_KBLE += tokens_KBLE
    grad_y_BLE += clip * length * E + c
    BC_KBLP += row * length * P + n
    grad_BC_GKBLQ += (block * rows + row) * length * 2 * N + n
    scratch_KBTNE += row * TOKENS * N * E + states
    carry = wide(grad_last_KBNE + row * N * E + states, mask[None, :])
    grad_A = tl.zeros((N, CB), dtype=tl.float32)
    grad_bias = tl.zeros((CB,), dtype=tl.float32)
    grad_skip = tl.zeros((CB,), dtype=tl.float32)
    for s in steps(segments):
        # In the order of the direction, chunks go from the last to the first.
        chunk = (segments - 1 - s) + backward * (2 * s + 1 - segments)
        first = chunk * TOKENS
        count = tl.minimum(TOKENS, length - first)
        h = wide(start_KBSNE + (row * segments + chunk) * N * E + states, mask[None, :])
        keep_states(
            u_KBLE,
            delta_KBLE,
            BC_KBLP,
            scratch_KBTNE,
            A,
            bias,
            h,
            first + backward * (count - 1),
            step,
            count,
            mask,
            E,
            P,
            N,
            SOFTPLUS,
        )
        tl.debug_barrier()
        carry, grad_A, grad_bias, grad_skip = chunk_gradients(
            u_KBLE,
            delta_KBLE,
            BC_KBLP,
            grad_y_BLE,
            scratch_KBTNE,
            grad_u_KBLE,
            grad_delta_KBLE,
            grad_BC_GKBLQ,
            A,
            bias,
            skip,
            (carry, grad_A, grad_bias, grad_skip),
            first + (1 - backward) * (count - 1),
            step,
            count,
            mask,
            E,
            P,
            N,
            SOFTPLUS,
        )
        # The next chunk overwrites the scratch.
        tl.debug_barrier()
    tl.store(grad_A_KBNE + row * N * E + states, grad_A, mask=mask[None, :])
    tl.store(grad_bias_KBE + row * E + c, grad_bias, mask=mask)
    tl.store(grad_skip_KBE + row * E + c, grad_skip, mask=mask)
