"""The fused bidirectional block in C++: operators `vfeat_cpu::block` and its gradient.

Forward is one call. Backward recomputes the convolved tokens and their projections, runs the
library's scan and convolution backward, and uses torch's GEMM for the products with weights.
Forward keeps the input and one state for each chunk.

Shape suffixes: B batch, L tokens, E channels, R rank of the time step, P = R + 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from . import torch_ops
from .cpu_conv import TAPS, conv_arguments
from .cpu_library import Block, Direction, load, pointer
from .cpu_scan import GROUP, STATES, kept_states, narrow, padded, scan_arguments
from .precision import no_autocast
from .weights import DirectionWeights


def bidirectional_mamba(
    xz_BL2E: Tensor, forward: DirectionWeights, backward: DirectionWeights
) -> Tensor:
    """Run the block; see `reference.bidirectional_mamba`.

    Runs in C++ with 16 states, 4 taps and both directions of one rank; runs the torch back-end
    otherwise, with float64 weights, or with no tokens. bfloat16 is widened on input and rounded
    once on output.
    """
    given = (xz_BL2E, *forward, *backward)
    shapes = {(w.rank, w.states, w.conv_weight_EW.shape[1]) for w in (forward, backward)}
    if shapes != {(forward.rank, STATES, TAPS)} or not xz_BL2E.numel() or not narrow(*given):
        return torch_ops.bidirectional_mamba(xz_BL2E, forward, backward)
    channels = len(forward.D_E)
    with no_autocast(xz_BL2E):
        xz = xz_BL2E.float()
        if channels % 16:
            xz = torch.cat([padded(half, -1) for half in xz.chunk(2, dim=-1)], dim=-1)
        y_BLE: Tensor = torch.ops.vfeat_cpu.block(
            xz.contiguous(),
            _flat(forward),
            _flat(backward),
            torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given),
        )[0]
        return y_BLE[..., :channels].to(xz_BL2E.dtype)


def _flat(weights: DirectionWeights) -> list[Tensor]:
    """Lay the weights out as the library takes them; a missing bias is zero."""
    bias_E = weights.conv_bias_E
    if bias_E is None:
        bias_E = torch.zeros_like(weights.D_E)
    given = weights._replace(conv_bias_E=bias_E)
    return [
        padded(t, 1 if name == "x_proj_weight" else 0).contiguous()
        for name, t in given._asdict().items()
    ]


@torch.library.custom_op(
    "vfeat_cpu::block",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor xz, Tensor[] forward, Tensor[] backward, bool keep) -> (Tensor, Tensor)",
)
def _block(
    xz: Tensor, forward: Sequence[Tensor], backward: Sequence[Tensor], keep: bool
) -> tuple[Tensor, Tensor]:
    batch, length, twice = xz.shape
    y = xz.new_empty(batch, length, twice // 2)
    states = kept_states(y, keep, directions=(2,))
    directions = (Direction(*(pointer(t) for t in w)) for w in (forward, backward))
    arguments = Block(
        batch=batch,
        length=length,
        channels=twice // 2,
        rank=DirectionWeights(*forward).rank,
        threads=torch.get_num_threads(),
        xz_BL2E=pointer(xz),
        direction=(Direction * 2)(*directions),
        y_BLE=pointer(y),
        states=pointer(states) if keep else None,
    )
    load().call("block_forward", arguments)
    return y, states


@_block.register_fake
def _block_shapes(
    xz: Tensor, forward: Sequence[Tensor], backward: Sequence[Tensor], keep: bool
) -> tuple[Tensor, Tensor]:
    y = xz.new_empty(*xz.shape[:2], xz.shape[2] // 2)
    return y, kept_states(y, keep, directions=(2,))


@register_flop_formula(torch.ops.vfeat_cpu.block)
def _block_flops(xz: Sequence[int], forward: Sequence[Sequence[int]], *_: Any, **__: Any) -> int:
    """Count the products alone, C·h among them, as torch does for its own back-end."""
    batch, length, twice = xz
    rank = forward[3][1]
    return 2 * batch * length * twice * (2 * rank + 3 * STATES)


@torch.library.custom_op(
    "vfeat_cpu::block_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor grad_y, Tensor states, Tensor xz, Tensor[] forward, Tensor[] backward)"
    " -> (Tensor, Tensor[])",
)
def _block_backward(
    grad_y: Tensor,
    states: Tensor,
    xz: Tensor,
    forward: Sequence[Tensor],
    backward: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    grad_xz = torch.empty_like(xz)
    grads: list[Tensor] = []
    for reverse, weights in enumerate((forward, backward)):
        own = DirectionWeights(*weights)
        found = _direction_backward(grad_y, states[reverse], xz, own, bool(reverse), grad_xz)
        grads.extend(t for t in found if t is not None)
    return grad_xz, grads


def _direction_backward(
    grad_y_BLE: Tensor,
    states: Tensor,
    xz_BL2E: Tensor,
    weights: DirectionWeights,
    reverse: bool,
    grad_xz_BL2E: Tensor,
) -> DirectionWeights:
    """Compute one direction's gradients; the first writes that of xz, the second adds to it."""
    rank, conv_weight = weights.rank, weights.conv_weight_EW
    u_BLE = torch.empty_like(grad_y_BLE)
    arguments = conv_arguments(
        xz_BL2E, conv_weight, weights.conv_bias_E, silu=True, reverse=reverse, y_BLE=u_BLE
    )
    load().call("conv_forward", arguments)
    u_TE = u_BLE.flatten(0, 1)
    projected_TP = u_TE @ weights.x_proj_weight.t()
    rank_TR = projected_TP[:, :rank]
    delta_BLE = F.linear(rank_TR, weights.dt_weight_ER, weights.dt_bias_E).view_as(u_BLE)

    grad_u_TE, grad_delta_TE, grad_bc_TN, grad_A_EN, grad_D_E = _scan_backward(
        grad_y_BLE, states, u_BLE, delta_BLE, projected_TP, xz_BL2E, weights, reverse, grad_xz_BL2E
    )
    # x_proj's rows are the rank, then B and C: the gradients are joined in that order.
    grad_projected_TP = torch.cat([grad_delta_TE @ weights.dt_weight_ER, grad_bc_TN], dim=1)
    # u enters the scan directly and through the projections; both gradients add up.
    grad_u_TE.addmm_(grad_projected_TP, weights.x_proj_weight)

    batch, channels = len(xz_BL2E), len(weights.D_E)
    grad_conv, grad_bias = u_BLE.new_empty(batch, channels, TAPS), u_BLE.new_empty(batch, channels)
    arguments = conv_arguments(
        xz_BL2E, conv_weight, weights.conv_bias_E, silu=True, reverse=reverse,
        grad_y_BLE=grad_u_TE, accumulate=reverse, grad_x=grad_xz_BL2E,
        grad_x_step=xz_BL2E.shape[2], grad_weight_BEW=grad_conv, grad_bias_BE=grad_bias,
    )  # fmt: skip
    load().call("conv_backward", arguments)
    return DirectionWeights(
        conv_weight_EW=grad_conv.sum(0),
        conv_bias_E=grad_bias.sum(0),
        x_proj_weight=grad_projected_TP.t() @ u_TE,
        dt_weight_ER=grad_delta_TE.t() @ rank_TR,
        dt_bias_E=grad_delta_TE.sum(0),
        A_log_EN=grad_A_EN * -torch.exp(weights.A_log_EN),
        D_E=grad_D_E,
    )


def _scan_backward(
    grad_y_BLE: Tensor,
    states: Tensor,
    u_BLE: Tensor,
    delta_BLE: Tensor,
    projected_TP: Tensor,
    xz_BL2E: Tensor,
    weights: DirectionWeights,
    reverse: bool,
    grad_xz_BL2E: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute gradients of u, delta, B beside C, A and D; write that of z to `grad_xz_BL2E`."""
    batch, length, channels = u_BLE.shape
    grad_u, grad_delta = torch.empty_like(u_BLE), torch.empty_like(u_BLE)
    # One part for each group of channels: summed in a fixed order, so that runs are equal.
    grad_bc = u_BLE.new_empty(-(-channels // GROUP), batch * length, 2 * STATES)
    grad_A, grad_D = u_BLE.new_empty(batch, channels, STATES), u_BLE.new_empty(batch, channels)
    arguments = scan_arguments(
        u_BLE, delta_BLE, weights.A_log_EN, logarithmic=True, softplus=True, reverse=reverse,
        B=projected_TP[:, weights.rank :], C=projected_TP[:, weights.rank + STATES :],
        bc_step=projected_TP.shape[1], D_E=weights.D_E,
        z=xz_BL2E[..., channels:], z_step=2 * channels, states=states, grad_y_BLE=grad_y_BLE,
        accumulate=reverse, grad_u_BLE=grad_u, grad_delta_BLE=grad_delta,
        grad_z=grad_xz_BL2E[..., channels:], grad_z_step=2 * channels, grad_bc=grad_bc,
        grad_A_BEN=grad_A, grad_D_BE=grad_D,
    )  # fmt: skip
    load().call("scan_backward", arguments)
    return (
        grad_u.flatten(0, 1), grad_delta.flatten(0, 1), grad_bc.sum(0), grad_A.sum(0),
        grad_D.sum(0),
    )  # fmt: skip


@_block_backward.register_fake
def _block_backward_shapes(
    grad_y: Tensor,
    states: Tensor,
    xz: Tensor,
    forward: Sequence[Tensor],
    backward: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    return torch.empty_like(xz), [torch.empty_like(t) for t in (*forward, *backward)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    xz, forward, backward, _ = inputs
    ctx.save_for_backward(output[1], xz, *forward, *backward)
    ctx.mark_non_differentiable(output[1])


def _gradients(ctx: Any, grad_y: Tensor, _: Tensor) -> tuple[Any, ...]:
    states, xz, *weights = ctx.saved_tensors
    half = len(weights) // 2
    grad_xz, grads = torch.ops.vfeat_cpu.block_backward(
        grad_y.contiguous(), states, xz, weights[:half], weights[half:]
    )
    return grad_xz, grads[:half], grads[half:], None


_block.register_autograd(_gradients, setup_context=_save)
