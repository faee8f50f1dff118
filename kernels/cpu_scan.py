"""The selective scan in C++: operators `vfeat_cpu::scan` and its gradient.

The operators take the library's layout: float32, contiguous, token-major, channels a multiple of
16, 16 states, one B and C for all channels. `selective_scan` converts other operands to it, and
passes to the torch back-end those that do not fit.

Shape suffixes: B batch, L tokens, E channels, N states.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import torch_ops
from .cpu_library import Scan, load, pointer
from .precision import no_autocast

BLOCK, STATES, GROUP = 16, 16, 64


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
    """Run the scan; see `reference.selective_scan`.

    Runs in C++ with 16 states and one (B, N, L) or (B, 1, N, L) for all channels; runs the torch
    back-end with other states, groups, a constant B or C, float64 weights, or no tokens.
    """
    given = (u_BEL, delta_BEL, A_EN, B, C, D_E, z_BEL, delta_bias_E)
    if not _fits(u_BEL, A_EN, B, C) or not narrow(*given):
        return torch_ops.selective_scan(*given, delta_softplus, reverse)
    channels = u_BEL.shape[1]
    with no_autocast(u_BEL):
        delta = delta_BEL.float()
        if delta_bias_E is not None:
            delta = delta + delta_bias_E.float()[:, None]
        y_BLE, last_BEN, _ = torch.ops.vfeat_cpu.scan(
            _tokens_first(u_BEL),
            _tokens_first(delta),
            padded(A_EN, 0).contiguous(),
            _states_last(B),
            _states_last(C),
            None if D_E is None else padded(D_E, 0).contiguous(),
            None if z_BEL is None else _tokens_first(z_BEL),
            delta_softplus,
            reverse,
            torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given),
        )
        y_BEL = y_BLE[..., :channels].transpose(1, 2).to(u_BEL.dtype)
        return y_BEL, last_BEN[:, :channels]


def narrow(*tensors: Tensor | None) -> bool:
    """Return whether no tensor is float64, so that float32 is the dtype of the state."""
    return all(t is None or t.dtype != torch.float64 for t in tensors)


def padded(tensor: Tensor, dim: int) -> Tensor:
    """Convert to float32 and pad `dim` with zero channels to a multiple of 16."""
    missing = -tensor.shape[dim] % BLOCK
    if not missing:
        return tensor.float()
    after = [0, 0] * (tensor.dim() - 1 - dim % tensor.dim()) + [0, missing]
    return torch.nn.functional.pad(tensor.float(), after)


def _fits(u_BEL: Tensor, A_EN: Tensor, B: Tensor, C: Tensor) -> bool:
    shared = all(t.dim() == 3 or (t.dim() == 4 and t.shape[1] == 1) for t in (B, C))
    return shared and A_EN.shape[1] == STATES and u_BEL.numel() > 0


def _tokens_first(t_BEL: Tensor) -> Tensor:
    return padded(t_BEL.transpose(1, 2), -1).contiguous()


def _states_last(t: Tensor) -> Tensor:
    return (t[:, 0] if t.dim() == 4 else t).transpose(1, 2).float().contiguous()


def scan_arguments(u_BLE: Tensor, delta_BLE: Tensor, A_EN: Tensor, **fields: Any) -> Scan:
    """Fill the struct; tensors in `fields` become pointers and must outlive the call."""
    batch, length, channels = u_BLE.shape
    pointers = {k: pointer(v) if isinstance(v, Tensor) else v for k, v in fields.items()}
    return Scan(
        batch=batch,
        length=length,
        channels=channels,
        threads=torch.get_num_threads(),
        u_BLE=pointer(u_BLE),
        delta_BLE=pointer(delta_BLE),
        A_EN=pointer(A_EN),
        **pointers,
    )


def kept_states(like_BLE: Tensor, keep: bool, directions: tuple[int, ...] = ()) -> Tensor:
    """Allocate the states before each chunk; an empty tensor unless `keep`."""
    batch, length, channels = like_BLE.shape
    if not keep:
        return like_BLE.new_empty(0)
    chunks = -(-length // load().chunk)
    return like_BLE.new_empty(*directions, batch, chunks, channels // BLOCK, STATES, BLOCK)


@torch.library.custom_op(
    "vfeat_cpu::scan",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z,"
    " bool softplus, bool reverse, bool keep) -> (Tensor, Tensor, Tensor)",
)
def _scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    softplus: bool,
    reverse: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    y, states = torch.empty_like(u), kept_states(u, keep)
    last = u.new_empty(u.shape[0], *A.shape)
    arguments = scan_arguments(
        u, delta, A, softplus=softplus, reverse=reverse, B=B, C=C, bc_step=STATES, D_E=D, z=z,
        z_step=u.shape[2], y_BLE=y, states=states if keep else None, last_BEN=last,
    )  # fmt: skip
    load().call("scan_forward", arguments)
    return y, last, states


@_scan.register_fake
def _scan_shapes(u: Tensor, delta: Tensor, A: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(u), u.new_empty(u.shape[0], *A.shape), kept_states(u, rest[-1])


@torch.library.custom_op(
    "vfeat_cpu::scan_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor grad_y, Tensor grad_last, Tensor states, Tensor u, Tensor delta, Tensor A,"
    " Tensor B, Tensor C, Tensor? D, Tensor? z, bool softplus, bool reverse)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _scan_backward(
    grad_y: Tensor,
    grad_last: Tensor,
    states: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    softplus: bool,
    reverse: bool,
) -> tuple[Tensor, ...]:
    batch, length, channels = u.shape
    grad_u, grad_delta = torch.empty_like(u), torch.empty_like(u)
    grad_z = torch.empty_like(u) if z is not None else u.new_empty(0)
    grad_bc = u.new_empty(-(-channels // GROUP), batch, length, 2 * STATES)
    grad_A, grad_D = u.new_empty(batch, *A.shape), u.new_empty(batch, channels)
    arguments = scan_arguments(
        u, delta, A, softplus=softplus, reverse=reverse, B=B, C=C, bc_step=STATES, D_E=D, z=z,
        z_step=channels, states=states, grad_y_BLE=grad_y, grad_last_BEN=grad_last,
        grad_u_BLE=grad_u, grad_delta_BLE=grad_delta, grad_z=grad_z, grad_z_step=channels,
        grad_bc=grad_bc, grad_A_BEN=grad_A, grad_D_BE=grad_D,
    )  # fmt: skip
    load().call("scan_backward", arguments)
    return grad_u, grad_delta, grad_A.sum(0), grad_bc.sum(0), grad_D.sum(0), grad_z


@_scan_backward.register_fake
def _scan_backward_shapes(*given: Any) -> tuple[Tensor, ...]:
    u, delta, A, B, _, _, z = given[3:10]
    grad_z = torch.empty_like(u) if z is not None else u.new_empty(0)
    grad_bc = B.new_empty(*B.shape[:2], 2 * STATES)
    like = [torch.empty_like(t) for t in (u, delta, A)]
    return (*like, grad_bc, u.new_empty(u.shape[2]), grad_z)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.softplus, ctx.reverse = inputs[7:9]
    ctx.save_for_backward(output[2], *inputs[:7])
    ctx.mark_non_differentiable(output[2])


def _gradients(ctx: Any, grad_y: Tensor, grad_last: Tensor, _: Tensor) -> tuple[Any, ...]:
    states, u, delta, A, B, C, D, z = ctx.saved_tensors
    grad_u, grad_delta, grad_A, grad_bc, grad_D, grad_z = torch.ops.vfeat_cpu.scan_backward(
        grad_y.contiguous(), grad_last.contiguous(), states, u, delta, A, B, C, D, z,
        ctx.softplus, ctx.reverse,
    )  # fmt: skip
    grad_B, grad_C = grad_bc.split(STATES, dim=-1)
    optional = (None if D is None else grad_D, None if z is None else grad_z)
    return grad_u, grad_delta, grad_A, grad_B, grad_C, *optional, None, None, None


_scan.register_autograd(_gradients, setup_context=_save)
