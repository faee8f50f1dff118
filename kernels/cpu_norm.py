"""Add and RMSNorm in C++: operators `vfeat_cpu::add_rms_norm` and its gradient.

Shape suffixes: B batch, L tokens, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import reference
from .cpu_library import Norm, load, pointer
from .cpu_scan import BLOCK, narrow
from .precision import no_autocast


def add_rms_norm(
    hidden_BLD: Tensor, residual_BLD: Tensor | None, weight_D: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Add and normalise; see `reference.add_rms_norm`.

    Runs in C++ if the width is a multiple of 16; runs the reference otherwise, with float64, or
    with no tokens.
    """
    given = (hidden_BLD, residual_BLD, weight_D)
    if len(weight_D) % BLOCK or not hidden_BLD.numel() or not narrow(*given):
        return reference.add_rms_norm(*given, epsilon)
    with no_autocast(hidden_BLD):
        wide = [None if t is None else t.float().contiguous() for t in given]
        normed, stream = torch.ops.vfeat_cpu.add_rms_norm(*wide, epsilon)
        return normed.to(weight_D.dtype), stream


def _arguments(stream: Tensor, weight: Tensor, epsilon: float, **fields: Tensor | None) -> Norm:
    return Norm(
        tokens=stream.numel() // len(weight),
        width=len(weight),
        threads=torch.get_num_threads(),
        epsilon=epsilon,
        weight=pointer(weight),
        stream=pointer(stream),
        **{k: pointer(v) for k, v in fields.items()},
    )


@torch.library.custom_op(
    "vfeat_cpu::add_rms_norm",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor hidden, Tensor? residual, Tensor weight, float epsilon) -> (Tensor, Tensor)",
)
def _norm(
    hidden: Tensor, residual: Tensor | None, weight: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    normed, stream = torch.empty_like(hidden), torch.empty_like(hidden)
    arguments = _arguments(stream, weight, epsilon, hidden=hidden, residual=residual, normed=normed)
    load().call("norm_forward", arguments)
    return normed, stream


@_norm.register_fake
def _norm_shapes(hidden: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(hidden), torch.empty_like(hidden)


@torch.library.custom_op(
    "vfeat_cpu::add_rms_norm_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor grad_normed, Tensor? grad_stream, Tensor stream, Tensor weight,"
    " float epsilon) -> (Tensor, Tensor)",
)
def _norm_backward(
    grad_normed: Tensor,
    grad_stream: Tensor | None,
    stream: Tensor,
    weight: Tensor,
    epsilon: float,
) -> tuple[Tensor, Tensor]:
    grad_hidden = torch.empty_like(stream)
    parts = load().norm_parts(stream.numel() // len(weight))
    grad_weight = weight.new_empty(parts, len(weight))
    arguments = _arguments(
        stream, weight, epsilon, grad_normed=grad_normed, grad_stream=grad_stream,
        grad_hidden=grad_hidden, grad_weight=grad_weight,
    )  # fmt: skip
    load().call("norm_backward", arguments)
    return grad_hidden, grad_weight.sum(0)


@_norm_backward.register_fake
def _norm_backward_shapes(
    grad_normed: Tensor, grad_stream: Tensor | None, stream: Tensor, weight: Tensor, _: float
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(stream), torch.empty_like(weight)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, residual, weight, ctx.epsilon = inputs
    ctx.has_residual = residual is not None
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1], weight)


def _gradients(ctx: Any, grad_normed: Tensor | None, grad_stream: Tensor | None) -> tuple[Any, ...]:
    stream, weight = ctx.saved_tensors
    if grad_normed is None:
        return grad_stream, grad_stream if ctx.has_residual else None, None, None
    grad, grad_weight = torch.ops.vfeat_cpu.add_rms_norm_backward(
        grad_normed.contiguous(),
        None if grad_stream is None else grad_stream.contiguous(),
        stream,
        weight,
        ctx.epsilon,
    )
    return grad, grad if ctx.has_residual else None, grad_weight, None


_norm.register_autograd(_gradients, setup_context=_save)
