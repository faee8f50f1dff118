"""The causal convolution in C++: operators `vfeat_cpu::conv` and its gradient.

The operators take float32, contiguous, token-major, channels a multiple of 16, 4 taps.

Shape suffixes: B batch, L tokens, E channels, W conv taps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import torch_ops
from .cpu_library import Conv, load, pointer
from .cpu_scan import narrow, padded
from .precision import no_autocast

TAPS = 4


def causal_conv1d(
    x_BEL: Tensor,
    weight_EW: Tensor,
    bias_E: Tensor | None = None,
    silu: bool = False,
    reverse: bool = False,
) -> Tensor:
    """Convolve; see `reference.causal_conv1d`.

    Runs in C++ with 4 taps; runs the torch back-end with others, float64 weights, or no tokens.
    """
    given = (x_BEL, weight_EW, bias_E)
    if weight_EW.shape[1] != TAPS or not x_BEL.numel() or not narrow(*given):
        return torch_ops.causal_conv1d(*given, silu, reverse)
    with no_autocast(x_BEL):
        y_BLE: Tensor = torch.ops.vfeat_cpu.conv(
            padded(x_BEL.transpose(1, 2), -1).contiguous(),
            padded(weight_EW, 0).contiguous(),
            None if bias_E is None else padded(bias_E, 0).contiguous(),
            silu,
            reverse,
        )
        return y_BLE[..., : x_BEL.shape[1]].transpose(1, 2).to(x_BEL.dtype)


def conv_arguments(x_BLX: Tensor, weight_EW: Tensor, bias_E: Tensor | None, **fields: Any) -> Conv:
    """Fill the struct; the first E of the last dimension of x are convolved."""
    batch, length, step = x_BLX.shape
    pointers = {k: pointer(v) if isinstance(v, Tensor) else v for k, v in fields.items()}
    return Conv(
        batch=batch,
        length=length,
        channels=len(weight_EW),
        threads=torch.get_num_threads(),
        x_step=step,
        x=pointer(x_BLX),
        weight_EW=pointer(weight_EW),
        bias_E=pointer(bias_E),
        **pointers,
    )


@torch.library.custom_op(
    "vfeat_cpu::conv",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor x, Tensor weight, Tensor? bias, bool silu, bool reverse) -> Tensor",
)
def _conv(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: bool) -> Tensor:
    y = torch.empty_like(x)
    load().call(
        "conv_forward", conv_arguments(x, weight, bias, silu=silu, reverse=reverse, y_BLE=y)
    )
    return y


@_conv.register_fake
def _conv_shape(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op(
    "vfeat_cpu::conv_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor grad_y, Tensor x, Tensor weight, Tensor? bias, bool silu, bool reverse)"
    " -> (Tensor, Tensor, Tensor)",
)
def _conv_backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = torch.empty_like(x)
    grad_weight = x.new_empty(len(x), *weight.shape)
    grad_bias = x.new_empty(len(x), len(weight))
    arguments = conv_arguments(
        x, weight, bias, silu=silu, reverse=reverse, grad_y_BLE=grad_y, grad_x=grad_x,
        grad_x_step=x.shape[2], grad_weight_BEW=grad_weight, grad_bias_BE=grad_bias,
    )  # fmt: skip
    load().call("conv_backward", arguments)
    return grad_x, grad_weight.sum(0), grad_bias.sum(0)


@_conv_backward.register_fake
def _conv_backward_shapes(
    grad_y: Tensor, x: Tensor, weight: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weight), weight.new_empty(len(weight))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, ctx.silu, ctx.reverse = inputs
    ctx.save_for_backward(x, weight, bias)


def _gradients(ctx: Any, grad_y: Tensor) -> tuple[Any, ...]:
    x, weight, bias = ctx.saved_tensors
    grad_x, grad_weight, grad_bias = torch.ops.vfeat_cpu.conv_backward(
        grad_y.contiguous(), x, weight, bias, ctx.silu, ctx.reverse
    )
    return grad_x, grad_weight, None if bias is None else grad_bias, None, None


_conv.register_autograd(_gradients, setup_context=_save)
