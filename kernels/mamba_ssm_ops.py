"""The packages mamba-ssm and causal-conv1d, composed as the official VideoMamba does.

    flip, the same inner function with each direction's weights, flip back, add

Both are needed, and neither has a bidirectional block. They are channel-major, so this back-end
transposes; the benchmark's baseline calls `inner` with in_proj's output already laid out as in the
official code.

Shape suffixes: B batch, L tokens, E channels, N states, R rank of the time step, W convolution
taps.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from . import torch_ops
from .precision import no_autocast
from .weights import DirectionWeights

PACKAGES = {"mamba_ssm": "mamba-ssm", "causal_conv1d": "causal-conv1d"}
MODULES = ("mamba_ssm.ops.selective_scan_interface", "causal_conv1d")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# causal_conv1d has kernels for these only.
TAPS = (2, 3, 4)


def why_not(device_type: str, dtype: torch.dtype) -> str | None:
    """Return a sentence on the missing package, device or dtype; None when it runs."""
    missing = [pip for module, pip in PACKAGES.items() if find_spec(module) is None]
    if missing:
        plural = "s" * (len(missing) > 1)
        return f"package{plural} not installed: {' and '.join(missing)} (pip install)."
    if device_type != "cuda":
        return "it runs on NVIDIA GPUs only."
    if dtype not in DTYPES:
        return f"it computes no {str(dtype).removeprefix('torch.')}."
    return why_broken()


@cache
def why_broken() -> str | None:
    """Return a sentence if a package is there and cannot be imported, as after another torch."""
    for name in MODULES:
        try:
            import_module(name)
        except Exception as problem:  # an ImportError, or an OSError of a library's symbols
            first = str(problem).partition("\n")[0]
            return f"{name} cannot be imported ({type(problem).__name__}: {first}): build it anew."
    return None


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

    The last state is not differentiable in mamba-ssm.
    """
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    def turned(tensor: Tensor) -> Tensor:
        return tensor.flip(-1) if reverse else tensor

    with no_autocast(u_BEL):
        inputs = [t if t.dim() == 2 else turned(t).to(u_BEL.dtype) for t in (B, C)]
        y_BEL, h_BEN = selective_scan_fn(
            turned(u_BEL),
            turned(delta_BEL).to(u_BEL.dtype),
            A_EN.float(),
            *(t.float() if t.dim() == 2 else t.contiguous() for t in inputs),
            None if D_E is None else D_E.float(),
            z=None if z_BEL is None else turned(z_BEL).to(u_BEL.dtype),
            delta_bias=None if delta_bias_E is None else delta_bias_E.float(),
            delta_softplus=delta_softplus,
            return_last_state=True,
        )
        return turned(y_BEL), h_BEN


def causal_conv1d(
    x_BEL: Tensor,
    weight_EW: Tensor,
    bias_E: Tensor | None = None,
    silu: bool = False,
    reverse: bool = False,
) -> Tensor:
    """Convolve; see `reference.causal_conv1d`."""
    if weight_EW.shape[1] not in TAPS:
        return torch_ops.causal_conv1d(x_BEL, weight_EW, bias_E, silu, reverse)
    from causal_conv1d import causal_conv1d_fn

    with no_autocast(x_BEL):
        x = x_BEL.flip(-1) if reverse else x_BEL
        weight, bias = (None if t is None else t.to(x.dtype) for t in (weight_EW, bias_E))
        y: Tensor = causal_conv1d_fn(x, weight, bias, activation="silu" if silu else None)
        return y.flip(-1) if reverse else y


def bidirectional_mamba(
    xz_BL2E: Tensor, forward: DirectionWeights, backward: DirectionWeights
) -> Tensor:
    """Run the block; see `reference.bidirectional_mamba`."""
    with no_autocast(xz_BL2E):
        return both(xz_BL2E.transpose(1, 2).contiguous(), forward, backward).transpose(1, 2)


def both(xz_B2EL: Tensor, forward: DirectionWeights, backward: DirectionWeights) -> Tensor:
    """Run the official composition, channel-major: y_BEL."""
    y_BEL = inner(xz_B2EL, forward)
    return y_BEL + inner(xz_B2EL.flip(-1), backward).flip(-1)


def inner(xz_B2EL: Tensor, weights: DirectionWeights) -> Tensor:
    """Compute `mamba_inner_fn_no_out_proj` of the official fork with the packages' functions."""
    rank, states, dtype = weights.rank, weights.states, xz_B2EL.dtype
    x_BEL, z_BEL = xz_B2EL.chunk(2, dim=1)
    u_BEL = causal_conv1d(x_BEL, weights.conv_weight_EW, weights.conv_bias_E, silu=True)
    batch, channels, length = u_BEL.shape
    u_ME = u_BEL.transpose(1, 2).reshape(-1, channels)
    projected_MP = u_ME @ weights.x_proj_weight.to(dtype).t()
    dt_MR, B_MN, C_MN = torch.split(projected_MP, [rank, states, states], dim=1)
    delta_EM = weights.dt_weight_ER.to(dtype) @ dt_MR.t()
    delta_BEL = delta_EM.view(channels, batch, length).transpose(0, 1)
    B, C = (t.reshape(batch, 1, length, states).mT.contiguous() for t in (B_MN, C_MN))
    A_EN = -torch.exp(weights.A_log_EN.float())
    y_BEL, _ = selective_scan(
        u_BEL, delta_BEL, A_EN, B, C, weights.D_E, z_BEL, weights.dt_bias_E, True
    )
    return y_BEL
