"""Sides of the comparison: the kernels and models available on this machine.

Shape suffixes as in `videomamba`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import mamba_ssm_ops, reference
from ..gpu import availability
from ..gpu.graphs import Graphed
from ..weights import DirectionWeights
from .attention import AttentionModel, Kind
from .cuda_timing import relative
from .videomamba import Block, Kernels, Model, Size

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 4e-3}
SIDES = ("forward", "backward")
KINDS: tuple[Kind, ...] = ("frames", "divided", "joint")


def ours() -> Kernels:
    """Return the fused kernels of `gpu`."""
    from ..gpu.block import bidirectional_mamba
    from ..gpu.norm import add_rms_norm

    return Kernels("triton", bidirectional_mamba, add_rms_norm)


def official() -> Kernels | None:
    """Return the packages mamba-ssm and causal-conv1d with their fused norm, if installed."""
    if (reason := mamba_ssm_ops.why_not("cuda", torch.bfloat16)) is not None:
        print(f"no mamba_ssm: {reason}")
        return None
    from mamba_ssm.ops.triton.layer_norm import rms_norm_fn

    def add_norm(
        hidden: Tensor, residual: Tensor | None, weight: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor]:
        normed, stream = rms_norm_fn(
            hidden, weight, None, residual, prenorm=True, residual_in_fp32=True, eps=epsilon
        )
        return normed, stream

    return Kernels("mamba_ssm", mamba_ssm_ops.both, add_norm, channel_major=True)


def stand_in() -> Kernels:
    """Return plain functions under the packages' name and in their layout, for a rehearsal."""

    def turned(xz_B2EL: Tensor, forward: DirectionWeights, backward: DirectionWeights) -> Tensor:
        return reference.bidirectional_mamba(xz_B2EL.mT, forward, backward).mT

    return Kernels("mamba_ssm", turned, reference.add_rms_norm, channel_major=True)


def both_kernels(device: str) -> list[Kernels]:
    """Return our kernels, and the packages' where they are installed."""
    theirs = official() if device == "cuda" else stand_in()
    return [kernels for kernels in (ours(), theirs) if kernels is not None]


def model_sides(
    size: Size, frames: int, batch: int, side: int = 224, device: str = "cuda"
) -> dict[str, Callable[[], Tensor]]:
    """Build a pass of each model over the same clips, in bfloat16."""
    video = torch.randn(batch, 3, frames, side, side, device=device, dtype=torch.bfloat16)
    model = Model(size, frames, side).to(device).narrow(torch.bfloat16).eval()

    def bound(kernels: Kernels) -> Callable[[Tensor], Tensor]:
        return lambda video: model(video, kernels)

    sides = {k.name: bound(k) for k in both_kernels(device)}
    weights = [*model.parameters(), *model.buffers()]
    sides |= {f"{name} graph": Graphed(run, weights) for name, run in tuple(sides.items())}
    for kind in KINDS:
        attention = AttentionModel(size.width, 12, frames, kind, side)
        sides[kind] = attention.to(device).bfloat16().eval()
    return {name: (lambda run=run: run(video)) for name, run in sides.items()}  # type: ignore[misc]


def block_sides(
    size: Size, tokens: int, batch: int, device: str = "cuda"
) -> dict[str, Callable[[], Tensor]]:
    """Build each side's pass between in_proj and out_proj, in its own layout, in bfloat16."""
    block = Block(size).to(device)
    weights = block.direction("forward"), block.direction("backward")
    xz = torch.randn(batch, tokens, 4 * size.width, device=device, dtype=torch.bfloat16)
    turned = xz.mT.contiguous()
    sides: dict[str, Callable[[], Tensor]] = {}
    for kernels in both_kernels(device):
        given = turned if kernels.channel_major else xz
        sides[kernels.name] = lambda k=kernels, x=given: k.bidirectional(x, *weights)  # type: ignore[misc]
    return sides


def _each(weights: DirectionWeights, change: Callable[[Tensor], Tensor]) -> DirectionWeights:
    """Apply a change to each of the weights."""
    return DirectionWeights(*(change(t) for t in weights if t is not None))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.double()


def gate(size: Size, tokens: int = 197, device: str = "cuda") -> list[str]:
    """List the faults of the kernels; if there is any, no ratio may be printed."""
    problems = [reason for reason in [availability.why_not(device, torch.float32)] if reason]
    block = Block(size)
    for dtype, tolerance in TOLERANCE.items():
        if problems:
            break
        weights = [_each(block.direction(s), lambda t: t.to(dtype)) for s in SIDES]  # noqa: B023
        xz = torch.randn(2, tokens, 4 * size.width).to(dtype)
        exact = reference.bidirectional_mamba(xz.double(), *(_each(w, _wide) for w in weights))
        on_device = [_each(w, lambda t: t.float().to(device)) for w in weights]
        for kernels in both_kernels(device):
            given = xz.to(device)
            x = given.mT.contiguous() if kernels.channel_major else given
            y = kernels.bidirectional(x, *on_device)
            error = relative(y.mT if kernels.channel_major else y, exact)
            line = f"{kernels.name} {size.name} {dtype}: relative error {error:.1e}"
            print(line)
            if kernels.name == "triton" and not error <= tolerance:
                problems.append(f"{line}, allowed {tolerance:.0e}")
    return problems
