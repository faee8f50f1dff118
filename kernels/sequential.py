"""The recurrence in torch operations, tuned for a CPU: the fallback of every machine.

    h[l] = exp(dt[l] A) h[l-1] + dt[l] u[l] B[l]        y[l] = C[l]·h[l]

Work goes chunk by chunk. A chunk's decays and inputs are computed at once, by few large operations;
then each token is one fused multiply-add, in place, so that the inputs turn into the states; then
one product with C gives the chunk's outputs. No array of the size L x E x N ever exists. The
backward pass keeps one state for each chunk, recomputes the chunk's states, and runs the recurrence
of the gradient in reverse.

States stand before channels, (N, E) and not (E, N): the inner loop of every operation then runs
over hundreds of channels, not 16 states (1.5 to 2 times faster, measured).

Shape suffixes: K tokens of a chunk, B batch, L tokens, E channels, N states.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .precision import no_autocast

# Two buffers of this many elements (3 MB each in float32) still fit a core's share of
# the last-level cache; larger ones cost 1.5x at batch 8, measured.
CHUNK_ELEMENTS = 768 * 1024
CHUNK_TOKENS = 64


class Operands(NamedTuple):
    """Inputs of the recurrence; all of one dtype, float32 or float64.

    A differs by batch entry so that two directions, or groups of channels with their own B and C,
    can run as one batch.
    """

    u_BLE: Tensor
    dt_BLE: Tensor
    A_BNE: Tensor
    B_BLN: Tensor
    C_BLN: Tensor


class Buffers(NamedTuple):
    """A chunk's working memory, token-major so that each step is contiguous."""

    decay_KBNE: Tensor
    state_KBNE: Tensor

    @classmethod
    def like(cls, A_BNE: Tensor, length: int) -> Buffers:
        """Allocate as many tokens as fit the cache, at least one, at most 64."""
        fitting = CHUNK_ELEMENTS // max(1, A_BNE.numel())
        tokens = max(1, min(CHUNK_TOKENS, fitting, length))
        shape = (tokens, *A_BNE.shape)
        return cls(A_BNE.new_empty(shape), A_BNE.new_empty(shape))

    @property
    def tokens(self) -> int:
        """K, the tokens of a full chunk."""
        return self.decay_KBNE.shape[0]

    def first(self, tokens: int) -> Buffers:
        """Return the part that a shorter last chunk uses."""
        return Buffers(self.decay_KBNE[:tokens], self.state_KBNE[:tokens])


def scan(operands: Operands) -> tuple[Tensor, Tensor]:
    """Return y_BLE and the last state h_BNE; differentiable once, in every operand."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in operands):
        y, h = _Scan.apply(*operands)  # type: ignore[no-untyped-call]
        return y, h
    return _scan_forward(operands, keep=None)


def _scan_forward(operands: Operands, keep: list[Tensor] | None) -> tuple[Tensor, Tensor]:
    """Loop over the chunks; append the state before each chunk to `keep`."""
    buffers = Buffers.like(operands.A_BNE, operands.u_BLE.shape[1])
    h_BNE = torch.zeros_like(operands.A_BNE, memory_format=torch.contiguous_format)
    y_BLE = torch.empty_like(operands.u_BLE, memory_format=torch.contiguous_format)
    for start in range(0, operands.u_BLE.shape[1], buffers.tokens):
        chunk = _chunk(operands, start, buffers.tokens)
        part = buffers.first(chunk.u_BLE.shape[1])
        if keep is not None:
            keep.append(h_BNE.clone())
        _run_chunk(chunk, h_BNE, part)
        h_BNE.copy_(part.state_KBNE[-1])
        y_KBE = torch.matmul(chunk.C_BLN.transpose(0, 1)[:, :, None], part.state_KBNE)[:, :, 0]
        y_BLE[:, start : start + buffers.tokens] = y_KBE.transpose(0, 1)
    return y_BLE, h_BNE


def _chunk(operands: Operands, start: int, tokens: int) -> Operands:
    """Slice the operands of one chunk; A is the same for all."""
    u, dt, A, B, C = operands
    span = slice(start, start + tokens)
    return Operands(u[:, span], dt[:, span], A, B[:, span], C[:, span])


def _run_chunk(chunk: Operands, h_BNE: Tensor, buffers: Buffers) -> None:
    """Fill both buffers: the decays, and the state after each token of the chunk."""
    decay_KBNE, state_KBNE = buffers
    dt_KBE = chunk.dt_BLE.transpose(0, 1)
    input_KBE = dt_KBE * chunk.u_BLE.transpose(0, 1)
    torch.mul(dt_KBE[:, :, None], chunk.A_BNE, out=decay_KBNE).exp_()
    torch.mul(input_KBE[:, :, None], chunk.B_BLN.transpose(0, 1)[..., None], out=state_KBNE)
    for decay_BNE, state_BNE in zip(decay_KBNE.unbind(), state_KBNE.unbind(), strict=True):
        h_BNE = state_BNE.addcmul_(decay_BNE, h_BNE)


class _Scan(torch.autograd.Function):
    """Scan with its own backward pass: memory for one chunk, whatever the length."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        operands = Operands(*tensors)
        starts: list[Tensor] = []
        outputs = _scan_forward(operands, keep=starts)
        ctx.save_for_backward(*operands, *starts)
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_y_BLE: Tensor, grad_h_BNE: Tensor) -> tuple[Tensor, ...]:
        saved = ctx.saved_tensors
        with no_autocast(grad_y_BLE):
            return _scan_backward(Operands(*saved[:5]), saved[5:], grad_y_BLE, grad_h_BNE)


def _scan_backward(
    operands: Operands, starts: tuple[Tensor, ...], grad_y_BLE: Tensor, grad_h_BNE: Tensor
) -> Operands:
    """Compute gradients of all operands; `starts` are the states before each chunk."""
    buffers = Buffers.like(operands.A_BNE, operands.u_BLE.shape[1])
    grads = Operands(
        *(torch.zeros_like(t, memory_format=torch.contiguous_format) for t in operands)
    )
    carry_BNE = grad_h_BNE.clone(memory_format=torch.contiguous_format)
    for index in reversed(range(len(starts))):
        start = index * buffers.tokens
        chunk = _chunk(operands, start, buffers.tokens)
        part = buffers.first(chunk.u_BLE.shape[1])
        _run_chunk(chunk, starts[index], part)
        grad_y_KBE = grad_y_BLE[:, start : start + buffers.tokens].transpose(0, 1)
        into = _chunk(grads, start, buffers.tokens)
        carry_BNE = _backward_chunk(chunk, starts[index], part, grad_y_KBE, carry_BNE, into)
    return grads


def _backward_chunk(
    chunk: Operands,
    h_BNE: Tensor,
    buffers: Buffers,
    grad_y_KBE: Tensor,
    carry_BNE: Tensor,
    into: Operands,
) -> Tensor:
    """Add one chunk's gradients to `into`; return that of the state before the chunk."""
    decay_KBNE, state_KBNE = buffers
    u_KBE, dt_KBE = chunk.u_BLE.transpose(0, 1), chunk.dt_BLE.transpose(0, 1)
    B_KBN, C_KBN = chunk.B_BLN.transpose(0, 1), chunk.C_BLN.transpose(0, 1)

    # grad_state[l] = C[l] grad_y[l] + decay[l+1] grad_state[l+1]
    grad_KBNE = grad_y_KBE[:, :, None] * C_KBN[..., None]
    for decay_BNE, grad_BNE in zip(
        reversed(decay_KBNE.unbind()), reversed(grad_KBNE.unbind()), strict=True
    ):
        grad_BNE.add_(carry_BNE)
        carry_BNE = decay_BNE * grad_BNE

    into.C_BLN.copy_(torch.einsum("kbe,kbne->bkn", grad_y_KBE, state_KBNE))
    into.B_BLN.copy_(torch.einsum("kbe,kbne->bkn", dt_KBE * u_KBE, grad_KBNE))
    grad_input_BKE = torch.einsum("kbn,kbne->bke", B_KBN, grad_KBNE)
    into.u_BLE.copy_(grad_input_BKE * chunk.dt_BLE)

    before_KBNE = torch.cat([h_BNE[None], state_KBNE[:-1]])
    grad_exponent_KBNE = grad_KBNE.mul_(before_KBNE).mul_(decay_KBNE)
    through_decay_BKE = torch.einsum("kbne,bne->bke", grad_exponent_KBNE, chunk.A_BNE)
    into.dt_BLE.copy_(grad_input_BKE * chunk.u_BLE + through_decay_BKE)
    into.A_BNE.add_(torch.einsum("kbne,kbe->bne", grad_exponent_KBNE, dt_KBE))
    return carry_BNE
