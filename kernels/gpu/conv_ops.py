"""The convolution of both directions as one differentiable function.

Shape suffixes: K directions, B clips, L tokens, E channels, W taps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .conv import conv_input_kernel, conv_kernel, conv_slope_kernel
from .launch import launch, rows_contiguous

TILE = {"TB": 32, "CB": 64}
WARPS = 4


def conv_both(x_BLE: Tensor, weight_KWE: Tensor, bias_KE: Tensor) -> Tensor:
    """Convolve in both directions: u_KBLE in the dtype of x.

    Args:
        x_BLE: input; its rows may have a larger pitch.
        weight_KWE, bias_KE: float32.
    """
    x_BLE, weight_KWE = rows_contiguous(x_BLE), weight_KWE.contiguous()
    given = (x_BLE, weight_KWE, bias_KE.contiguous())
    if torch.is_grad_enabled() and any(t.requires_grad for t in given):
        u_KBLE: Tensor = _Conv.apply(*given)  # type: ignore[no-untyped-call]
        return u_KBLE
    return _convolved(*given)


def _grid(x_BLE: Tensor) -> tuple[int, int, int]:
    batch, length, channels = x_BLE.shape
    return -(-channels // TILE["CB"]), -(-length // TILE["TB"]), batch


def _convolved(x_BLE: Tensor, weight_KWE: Tensor, bias_KE: Tensor) -> Tensor:
    _, taps, channels = weight_KWE.shape
    u_KBLE = x_BLE.new_empty(2, *x_BLE.shape)
    launch(
        conv_kernel,
        _grid(x_BLE),
        *(x_BLE, weight_KWE, bias_KE, u_KBLE, x_BLE.shape[1]),
        warps=WARPS,
        E=channels,
        X=x_BLE.stride(-2),
        W=taps,
        **TILE,
    )
    return u_KBLE


class _Conv(torch.autograd.Function):
    """Convolution that keeps only x; the backward pass recomputes the activation's input."""

    @staticmethod
    def forward(ctx: Any, x_BLE: Tensor, weight_KWE: Tensor, bias_KE: Tensor) -> Tensor:
        ctx.save_for_backward(x_BLE, weight_KWE, bias_KE)
        return _convolved(x_BLE, weight_KWE, bias_KE)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_u_KBLE: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, bias = ctx.saved_tensors
        (batch, length, channels), taps = x.shape, weight.shape[1]
        grid = _grid(x)
        sizes = {"E": channels, "W": taps, **TILE}
        grad_a = weight.new_empty(grad_u_KBLE.shape)
        sums = weight.new_empty(batch, grid[1], 2, taps + 1, channels)
        grad_u = grad_u_KBLE.contiguous()
        operands = (x, weight, bias, grad_u, grad_a, sums, length)
        launch(conv_slope_kernel, grid, *operands, warps=WARPS, X=x.stride(-2), **sizes)
        grad_x = x.new_empty(x.shape)
        launch(conv_input_kernel, grid, grad_a, weight, grad_x, length, warps=WARPS, **sizes)
        total = sums.sum((0, 1))
        return grad_x, total[:, :taps], total[:, taps]
