"""The recurrence as one differentiable function of token-major tensors.

Shape suffixes: K directions (the second runs backward), B clips, L tokens, E channels,
N states, S segments, Q = 2N.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import launch as grids
from .launch import CHANNELS, CHUNK_TOKENS, blocks, launch, rows_contiguous
from .scan import combine_kernel, scan_kernel, segment_kernel
from .scan_grad import scan_grad_kernel


class Operands(NamedTuple):
    """Inputs of the recurrence.

    Attributes:
        u_KBLE, delta_KBLE: float32 or bfloat16.
        BC_KBLQ: B and C side by side, float32; rows may have a larger pitch.
        A_KNE: A times log2(e); this and the rest float32.
        bias_KE: added to delta.
        skip_KE: D.
        z_BLE: gate, or None; rows may have a larger pitch.
    """

    u_KBLE: Tensor
    delta_KBLE: Tensor
    BC_KBLQ: Tensor
    A_KNE: Tensor
    bias_KE: Tensor
    skip_KE: Tensor
    z_BLE: Tensor | None


class Form(NamedTuple):
    """Variant of the recurrence.

    Attributes:
        reverse: a single direction runs backward.
        softplus: the step is softplus(delta + bias), else their sum.
        last: also return the state after the last token.
    """

    reverse: bool = False
    softplus: bool = True
    last: bool = False


def scan(operands: Operands, form: Form) -> tuple[Tensor, Tensor | None]:
    """Run the recurrence over both directions.

    Args:
        operands: inputs; see `Operands`.
        form: variant of the recurrence.

    Returns:
        y_BLE, the gated sum over directions, and the last states (K, B, N, E) or None.
    """
    operands = _laid_out(operands)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in operands):
        y_BLE, last_KBNE = _Scan.apply(form, *operands)  # type: ignore[no-untyped-call]
        return y_BLE, last_KBNE
    _, clips, length, channels = operands.u_KBLE.shape
    tokens = grids.segment_tokens(clips, channels, length, operands.u_KBLE.device)
    start_KBSNE = last_KBNE = None
    if form.last or tokens < length:
        start_KBSNE, last_KBNE = _segments(operands, form, max(1, tokens))
    y_BLE, _ = _scanned(operands, form, start_KBSNE, max(1, tokens), save=False)
    return y_BLE, last_KBNE


def _laid_out(operands: Operands) -> Operands:
    """Make operands contiguous if the kernels take no pitch for them."""
    u, delta, BC, A, bias, skip, z = operands
    return Operands(
        u.contiguous(),
        delta.contiguous(),
        rows_contiguous(BC),
        A.contiguous(),
        bias.contiguous(),
        skip.contiguous(),
        None if z is None else rows_contiguous(z),
    )


class _Sizes(NamedTuple):
    """The constants of a kernel, from the shapes."""

    batch: int
    length: int
    E: int
    P: int
    N: int

    @classmethod
    def of(cls, operands: Operands) -> _Sizes:
        _, batch, length, channels = operands.u_KBLE.shape
        pitch = operands.BC_KBLQ.stride(-2)
        return cls(batch, length, channels, pitch, operands.A_KNE.shape[1])


def _segments(operands: Operands, form: Form, tokens: int) -> tuple[Tensor, Tensor]:
    """Compute the state before each segment (K, B, S, N, E), and the last one (K, B, N, E)."""
    u, delta, BC, A, bias, _, _ = operands
    batch, length, E, P, N = _Sizes.of(operands)
    directions, segments = len(u), -(-length // tokens)
    end = A.new_empty(directions, batch, segments, N, E)
    total = A.new_empty(directions, batch, segments, E)
    start, last = torch.empty_like(end), A.new_empty(directions, batch, N, E)
    rows, split = directions * batch, {"E": E, "N": N, "CB": CHANNELS, "REVERSE": form.reverse}
    launch(
        segment_kernel,
        (blocks(E), segments, rows),
        *(u, delta, BC, A, bias, end, total, batch, length, tokens),
        warps=1,
        P=P,
        SOFTPLUS=form.softplus,
        **split,
    )
    launch(
        combine_kernel,
        (blocks(E), rows),
        *(end, total, A, start, last, batch, segments),
        warps=1,
        **split,
    )
    return start, last


def _scanned(
    operands: Operands, form: Form, start: Tensor | None, tokens: int, save: bool
) -> tuple[Tensor, Tensor]:
    """Compute y_BLE, and its value before the gate if `save` is set and a gate is given."""
    u, delta, BC, A, bias, skip, z = operands
    batch, length, E, P, N = _Sizes.of(operands)
    y_BLE = u.new_empty(batch, length, E)
    keep = save and z is not None
    narrow = len(u) > 1 and u.dtype != torch.float32
    sum_BLE = torch.empty_like(y_BLE, dtype=torch.float32) if keep or narrow else y_BLE
    launch(
        scan_kernel,
        (blocks(E), -(-length // tokens), batch),
        *(u, delta, BC, A, bias, skip, y_BLE if z is None else z),
        *(A if start is None else start, y_BLE, sum_BLE, batch, length, tokens),
        warps=1,
        E=E,
        P=P,
        Z=E if z is None else z.stride(-2),
        N=N,
        CB=CHANNELS,
        DIRECTIONS=len(u),
        REVERSE=form.reverse,
        STARTS=start is not None,
        GATE=z is not None,
        SAVE=keep,
        SOFTPLUS=form.softplus,
    )
    return y_BLE, sum_BLE


class _Scan(torch.autograd.Function):
    """Scan that keeps one state for each chunk of tokens, and the sum before the gate."""

    @staticmethod
    def forward(ctx: Any, form: Form, *tensors: Tensor | None) -> tuple[Tensor, Tensor]:
        operands = Operands(*tensors)  # type: ignore[arg-type]
        start, last = _segments(operands, form, CHUNK_TOKENS)
        y_BLE, sum_BLE = _scanned(operands, form, start, CHUNK_TOKENS, save=True)
        gated = operands.z_BLE is not None
        ctx.form = form
        ctx.save_for_backward(*tensors, start, sum_BLE if gated else None)
        return y_BLE, last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_y_BLE: Tensor, grad_last_KBNE: Tensor) -> tuple[Any, ...]:
        *tensors, start, sum_BLE = ctx.saved_tensors
        operands = Operands(*tensors)
        grad_sum, grad_z = grad_y_BLE.float(), None
        if operands.z_BLE is not None:
            z = operands.z_BLE.float()
            slope = torch.ops.aten.silu_backward(grad_sum * sum_BLE, z)
            grad_z, grad_sum = slope.to(operands.z_BLE.dtype), grad_sum * F.silu(z)
        grads = _gradients(operands, ctx.form, start, grad_sum.contiguous(), grad_last_KBNE)
        return None, *grads, grad_z


def _gradients(
    operands: Operands, form: Form, start: Tensor, grad_sum_BLE: Tensor, grad_last: Tensor
) -> tuple[Tensor, ...]:
    """Compute gradients of all operands before z, partial sums added up."""
    u, delta, BC, A, bias, skip, _ = operands
    batch, length, E, P, N = _Sizes.of(operands)
    rows = (len(u), batch)
    grad_BC = A.new_empty(blocks(E), *rows, length, 2 * N)
    grad_A = A.new_empty(*rows, N, E)
    grad_bias, grad_skip = A.new_empty(*rows, E), A.new_empty(*rows, E)
    grad_u, grad_delta = torch.empty_like(u), torch.empty_like(delta)
    scratch = A.new_empty(*rows, CHUNK_TOKENS, N, E)
    launch(
        scan_grad_kernel,
        (blocks(E), len(u) * batch),
        *(u, delta, BC, A, bias, skip, start, grad_sum_BLE, grad_last.contiguous(), scratch),
        *(grad_u, grad_delta, grad_BC, grad_A, grad_bias, grad_skip),
        *(batch, length, start.shape[2]),
        warps=1,
        E=E,
        P=P,
        N=N,
        CB=CHANNELS,
        TOKENS=CHUNK_TOKENS,
        REVERSE=form.reverse,
        SOFTPLUS=form.softplus,
    )
    return (
        grad_u,
        grad_delta,
        grad_BC.sum(0),
        grad_A.sum(1),
        grad_bias.sum(1),
        grad_skip.sum(1),
    )
