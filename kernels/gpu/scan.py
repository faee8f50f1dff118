"""The recurrence, forward: one thread holds one channel with all its states.

    h[l] = 2^(dt[l] A) h[l-1] + dt[l] u[l] B[l]      y[l] = C[l]·h[l] + D u[l]

A program owns a block of channels of one clip and a segment of its tokens. It runs the forward
direction over them, then the backward direction over the same tokens, adds, gates with SiLU(z) and
writes y once; the first direction's sum is float32. No atomics: two runs are bit-equal.

A clip is one segment when the batch fills the GPU. A smaller batch is cut into more:
`segment_kernel` runs each from a zero state, `combine_kernel` chains their ends into the states
that each starts from, and only then `scan_kernel` runs. The exponentials are then computed twice,
so this pays if less than half the GPU would be busy.

The states of a channel stay in one thread's registers because the blocks are (N, CB) with 32 CB =
threads, and because the compiler has no proof that A is aligned. With one, it would load A four
channels at a time and keep that layout through the loop, where each sum over states would then
cross threads, with barriers.

Shape suffixes: K directions (the second runs backward), B clips, L tokens, E channels, N states, S
segments, P pitch of a row of B and C. A is already times log2(e).
"""

from __future__ import annotations

import triton.language as tl

from .language import exp2, jit, jit_states, narrow, sigmoid, softplus, steps, wide


@jit
def time_step(delta: tl.tensor, bias: tl.tensor, SOFTPLUS: tl.constexpr) -> tl.tensor:
    """Compute the time step of the recurrence."""
    return softplus(delta + bias) if SOFTPLUS else delta + bias


@jit
def advance(h: tl.tensor, A: tl.tensor, dt: tl.tensor, u: tl.tensor, B: tl.tensor) -> tl.tensor:
    """Advance the state (N, CB) by one token."""
    return exp2(dt[None, :] * A) * h + (dt * u)[None, :] * B[:, None]


@jit
def block_of_states(c: tl.tensor, N: tl.constexpr, E: tl.constexpr) -> tl.tensor:
    """Return the offsets of (N, CB) within (N, E)."""
    return tl.arange(0, N)[:, None] * E + c[None, :]


@jit_states
def segment_kernel(
    u_KBLE: tl.tensor,
    delta_KBLE: tl.tensor,
    BC_KBLP: tl.tensor,
    A_KNE: tl.tensor,
    bias_KE: tl.tensor,
    end_KBSNE: tl.tensor,
    total_KBSE: tl.tensor,
    batch: tl.tensor,
    length: tl.tensor,
    tokens: tl.tensor,
    E: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
    CB: tl.constexpr,
    REVERSE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
) -> None:
    """Run each segment from a zero state: its end state, and the sum of its time steps."""
    c = tl.program_id(0) * CB + tl.arange(0, CB)
    segment, segments = tl.program_id(1), tl.num_programs(1)
    row = tl.program_id(2).to(tl.int64)
    direction = row // batch
    mask, n = c < E, tl.arange(0, N)
    A = wide(A_KNE + direction * N * E + block_of_states(c, N, E), mask[None, :])
    bias = wide(bias_KE + direction * E + c, mask)
    count = tl.minimum(tokens, length - segment * tokens)
    backward = (direction + REVERSE).to(tl.int32)
    step = 1 - 2 * backward
    token = segment * tokens + backward * (count - 1)
    u_KBLE += row * length * E + c
    delta_KBLE += row * length * E + c
    BC_KBLP += row * length * P + n
    h = tl.zeros((N, CB), dtype=tl.float32)
    total = tl.zeros((CB,), dtype=tl.float32)
    u, delta = wide(u_KBLE + token * E, mask), wide(delta_KBLE + token * E, mask)
    B = tl.load(BC_KBLP + token * P)
    for t in steps(count, loop_unroll_factor=2):
        token = tl.where(t + 1 < count, token + step, token)
        next_u, next_delta = wide(u_KBLE + token * E, mask), wide(delta_KBLE + token * E, mask)
        next_B = tl.load(BC_KBLP + token * P)
        dt = time_step(delta, bias, SOFTPLUS)
        h = advance(h, A, dt, u, B)
        total += dt
        u, delta, B = next_u, next_delta, next_B
    place = row * segments + segment
    tl.store(end_KBSNE + place * N * E + block_of_states(c, N, E), h, mask=mask[None, :])
    tl.store(total_KBSE + place * E + c, total, mask=mask)


@jit_states
def combine_kernel(
    end_KBSNE: tl.tensor,
    total_KBSE: tl.tensor,
    A_KNE: tl.tensor,
    start_KBSNE: tl.tensor,
    last_KBNE: tl.tensor,
    batch: tl.tensor,
    segments: tl.tensor,
    E: tl.constexpr,
    N: tl.constexpr,
    CB: tl.constexpr,
    REVERSE: tl.constexpr,
) -> None:
    """Chain the segments: the state each starts from, and the one after the last."""
    c = tl.program_id(0) * CB + tl.arange(0, CB)
    row = tl.program_id(1).to(tl.int64)
    direction = row // batch
    mask, states = c < E, block_of_states(c, N, E)
    A = wide(A_KNE + direction * N * E + states, mask[None, :])
    backward = (direction + REVERSE).to(tl.int32)
    h = tl.zeros((N, CB), dtype=tl.float32)
    for s in steps(segments):
        place = row * segments + s + backward * (segments - 1 - 2 * s)
        tl.store(start_KBSNE + place * N * E + states, h, mask=mask[None, :])
        total = wide(total_KBSE + place * E + c, mask)
        end = wide(end_KBSNE + place * N * E + states, mask[None, :])
        h = exp2(total[None, :] * A) * h + end
    tl.store(last_KBNE + row * N * E + states, h, mask=mask[None, :])


@jit
def sweep(
    u_LE: tl.tensor,
    delta_LE: tl.tensor,
    BC_LP: tl.tensor,
    z_LE: tl.tensor,
    y_LE: tl.tensor,
    sum_LE: tl.tensor,
    A: tl.tensor,
    bias: tl.tensor,
    skip: tl.tensor,
    h: tl.tensor,
    first: tl.tensor,
    count: tl.tensor,
    mask: tl.tensor,
    E: tl.constexpr,
    P: tl.constexpr,
    Z: tl.constexpr,
    N: tl.constexpr,
    BACKWARD: tl.constexpr,
    ADD: tl.constexpr,
    KEEP: tl.constexpr,
    GATE: tl.constexpr,
    WRITE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
) -> None:
    """Run one direction over `count` tokens from `first`; pointers are at this block's channels.

    The sum of the directions is float32: KEEP writes it, ADD starts from it. WRITE is for y itself.
    The next token's operands are loaded before this one's are used.
    """
    step: tl.constexpr = -1 if BACKWARD else 1
    token = first + (count - 1 if BACKWARD else 0)
    u, delta = wide(u_LE + token * E, mask), wide(delta_LE + token * E, mask)
    B, C = tl.load(BC_LP + token * P), tl.load(BC_LP + token * P + N)
    for t in steps(count, loop_unroll_factor=2):
        following = tl.where(t + 1 < count, token + step, token)
        next_u, next_delta = wide(u_LE + following * E, mask), wide(delta_LE + following * E, mask)
        next_B, next_C = tl.load(BC_LP + following * P), tl.load(BC_LP + following * P + N)
        h = advance(h, A, time_step(delta, bias, SOFTPLUS), u, B)
        y = tl.sum(h * C[:, None], 0) + skip * u
        if ADD:
            y += wide(sum_LE + token * E, mask)
        if KEEP:
            tl.store(sum_LE + token * E, y, mask=mask)
        if GATE:
            z = wide(z_LE + token * Z, mask)
            y *= z * sigmoid(z)
        if WRITE:
            tl.store(y_LE + token * E, narrow(y, y_LE), mask=mask)
        u, delta, B, C, token = next_u, next_delta, next_B, next_C, following


@jit_states
def scan_kernel(
    u_KBLE: tl.tensor,
    delta_KBLE: tl.tensor,
    BC_KBLP: tl.tensor,
    A_KNE: tl.tensor,
    bias_KE: tl.tensor,
    skip_KE: tl.tensor,
    z_BLZ: tl.tensor,
    start_KBSNE: tl.tensor,
    y_BLE: tl.tensor,
    sum_BLE: tl.tensor,
    batch: tl.tensor,
    length: tl.tensor,
    tokens: tl.tensor,
    E: tl.constexpr,
    P: tl.constexpr,
    Z: tl.constexpr,
    N: tl.constexpr,
    CB: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    REVERSE: tl.constexpr,
    STARTS: tl.constexpr,
    GATE: tl.constexpr,
    SAVE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
) -> None:
    """Scan one segment of one clip's channels, in one direction or in both, and gate once."""
    c = tl.program_id(0) * CB + tl.arange(0, CB)
    segment, segments = tl.program_id(1), tl.num_programs(1)
    clip = tl.program_id(2).to(tl.int64)
    mask, n, states = c < E, tl.arange(0, N), block_of_states(c, N, E)
    first = segment * tokens
    count = tl.minimum(tokens, length - first)
    y_BLE += clip * length * E + c
    sum_BLE += clip * length * E + c
    z_BLZ += clip * length * Z + c
    for direction in tl.static_range(DIRECTIONS):
        row = direction * batch + clip
        A = wide(A_KNE + direction * N * E + states, mask[None, :])
        bias = wide(bias_KE + direction * E + c, mask)
        skip = wide(skip_KE + direction * E + c, mask)
        h = tl.zeros((N, CB), dtype=tl.float32)
        if STARTS:
            place = row * segments + segment
            h += wide(start_KBSNE + place * N * E + states, mask[None, :])
        sweep(
            u_KBLE + row * length * E + c,
            delta_KBLE + row * length * E + c,
            BC_KBLP + row * length * P + n,
            z_BLZ,
            y_BLE,
            sum_BLE,
            A,
            bias,
            skip,
            h,
            first,
            count,
            mask,
            E,
            P,
            Z,
            N,
            REVERSE or direction == 1,
            direction == 1,
            SAVE or direction < DIRECTIONS - 1,
            GATE and direction == DIRECTIONS - 1,
            direction == DIRECTIONS - 1,
            SOFTPLUS,
        )
        # A part of the sum that one thread wrote may be read by another in the next direction.
        tl.debug_barrier()
