"""The sides of the comparison on a CPU, and the gate that they must pass.

Shape suffixes as in `videomamba`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from .. import cpu_block, cpu_linear, cpu_norm, reference, torch_ops
from ..weights import DirectionWeights
from .attention import AttentionModel, Kind
from .videomamba import Bidirectional, Kernels, Model, Size, random_direction

OURS, FALLBACK = "cpu", "torch"
OP_TOLERANCE, GRADIENT_TOLERANCE, MODEL_TOLERANCE = 1e-6, 2e-5, 1e-4
ATTENTION: dict[str, Kind] = {"ViT by frame": "frames", "TimeSformer": "divided", "joint": "joint"}

KERNELS = {
    OURS: Kernels(
        OURS, cpu_block.bidirectional_mamba, cpu_norm.add_rms_norm, linear=cpu_linear.linear
    ),
    FALLBACK: Kernels(FALLBACK, torch_ops.bidirectional_mamba, reference.add_rms_norm),
}
What = Literal["forward", "training"]


def gate(size: Size) -> list[str]:
    """List the faults of our kernels; empty when they may be timed."""
    xz_BL2E = torch.randn(2, 197, 4 * size.width)
    weights = random_direction(size), random_direction(size)
    wide = tuple(DirectionWeights(*(t.double() for t in w if t is not None)) for w in weights)
    ours, ours_grads = _with_gradients(cpu_block.bidirectional_mamba, xz_BL2E, weights)
    exact, exact_grads = _with_gradients(reference.bidirectional_mamba, xz_BL2E.double(), wide)
    names = ("xz", *(f"{d}.{n}" for d in ("forward", "backward") for n in DirectionWeights._fields))
    checks = [("block", relative(ours, exact), OP_TOLERANCE)]
    checks += [
        (f"gradient of {name}", relative(a, b), GRADIENT_TOLERANCE)
        for name, a, b in zip(names, ours_grads, exact_grads, strict=True)
    ]
    model, video = Model(size, 2).eval(), torch.randn(1, 3, 2, 224, 224)
    with torch.inference_mode():
        features = [model(video, KERNELS[name]) for name in (OURS, FALLBACK)]
    checks.append(("model", relative(*features), MODEL_TOLERANCE))
    return [
        f"{size.name}: {what} differs by {error:.1e}, allowed {limit:.0e}"
        for what, error, limit in checks
        if not error < limit
    ]


def relative(found: Tensor, exact: Tensor) -> float:
    """Return the largest difference over the largest value; NaN passes no gate."""
    difference = (found.detach().double() - exact.detach().double()).abs().max()
    return float(difference / exact.detach().double().abs().max())


def _with_gradients(
    run: Bidirectional, xz: Tensor, weights: tuple[DirectionWeights, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    tensors = [t.clone().requires_grad_() for t in (xz, *weights[0], *weights[1]) if t is not None]
    y = run(tensors[0], DirectionWeights(*tensors[1:8]), DirectionWeights(*tensors[8:]))
    return y, torch.autograd.grad(y.square().sum(), tensors)


def block_sides(size: Size, tokens: int, what: What) -> dict[str, Callable[[], object]]:
    """Build passes of the fused part alone: forward, or with every gradient."""
    xz = torch.randn(1, tokens, 4 * size.width)
    weights = random_direction(size), random_direction(size)
    if what == "training":
        return {
            name: lambda k=k: _with_gradients(k.bidirectional, xz, weights)  # type: ignore[misc]
            for name, k in KERNELS.items()
        }
    return {
        name: lambda k=k: k.bidirectional(xz, *weights)  # type: ignore[misc]
        for name, k in KERNELS.items()
    }


def model_sides(size: Size, frames: int, wanted: list[str]) -> dict[str, Callable[[], object]]:
    """Build a pass of each model over a clip of 224 x 224; attention has half VideoMamba's depth.

    A layer of attention with its MLP has twice the parameters of a Mamba block: ViT-Tiny has 12
    layers, VideoMamba-Tiny 24 blocks.
    """
    video = torch.randn(1, 3, frames, 224, 224)
    sides: dict[str, Callable[[], object]] = {}
    mamba = Model(size, frames).eval()
    for name in wanted:
        if name in KERNELS:
            sides[name] = lambda k=KERNELS[name]: mamba(video, k)  # type: ignore[misc]
        else:
            attention = AttentionModel(size.width, size.depth // 2, frames, ATTENTION[name]).eval()
            sides[name] = lambda a=attention: a(video)  # type: ignore[misc]
    return sides
