"""Operations of step b: each kernel on this device beside float64 on the same rounded inputs.

An error is the difference's norm over the exact value's, so that one small entry does not decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.gpu.sizes import ON_GPU, REHEARSED, Shape
from vfeat.kernels import reference
from vfeat.kernels.gpu import launch
from vfeat.kernels.weights import DirectionWeights

# Largest error of values and of gradients.
TOLERANCE = {torch.float32: (2e-6, 2e-5), torch.bfloat16: (4e-3, 3e-2)}
# Rounding of so few values does not average out: twice the error is allowed.
FEW = 20_000
NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


Errors = list[tuple[str, float, float]]


class Check(NamedTuple):
    """One comparison.

    Attributes:
        group: one of `GROUPS`.
        run: returns (name, error, allowed) for each of its results.
    """

    group: str
    name: str
    run: Callable[[], Errors]


def operation_checks(device: str, rehearse: bool) -> Iterator[Check]:
    """Yield the checks of kernels."""
    plan = REHEARSED if rehearse else ON_GPU
    for dtype, name in NAMES.items():
        for shape in plan.blocks:
            yield Check(
                f"block {shape.channels} {name}",
                f"block {name} {shape.batch}x{shape.length}x{shape.channels}",
                partial(_block, shape, dtype, device),
            )
        shapes, lengths = plan.segments
        for shape, tokens in product(shapes, lengths):
            yield Check(
                f"block {shape.channels} {name}",
                f"segments of {tokens} {name} {shape.length}x{shape.channels}",
                partial(_segments, shape, tokens, dtype, device),
            )
        others = f"others {name}"
        yield Check(others, f"scan {name}", partial(_scan, plan.scan_length, dtype, device))
        for width in plan.norm_widths:
            yield Check(others, f"norm {name} {width}", partial(_norm, width, dtype, device))
        yield Check(others, f"pixels {name}", partial(_pixels, plan.frames, dtype, device))
    yield Check("repeats", "bits of a full GPU", partial(_repeats, plan.full, device))


def error(found: Tensor, exact: Tensor) -> float:
    """Compute ‖found - exact‖ / ‖exact‖; the norm of the difference where that is 0."""
    difference = (found.detach().double() - exact.detach().double()).norm()
    size = exact.detach().double().norm()
    return float(difference / size) if size else float(difference)


def directions(shape: Shape, dtype: torch.dtype, device: str) -> list[DirectionWeights]:
    """Draw both directions' weights, rounded to the dtype and kept in float32."""
    generator = torch.Generator().manual_seed(shape.channels)

    def normal(*size: int) -> Tensor:
        drawn = torch.randn(*size, generator=generator)
        return drawn.to(dtype).float().to(device)

    E, R, N = shape.channels, shape.rank, 16
    return [
        DirectionWeights(
            normal(E, 4) / 2, normal(E) / 2, normal(R + 2 * N, E) / E**0.5, normal(E, R) / R**0.5,
            normal(E) - 2, normal(E, N) / 2, normal(E),
        )
        for _ in range(2)
    ]  # fmt: skip


def tokens_of(shape: Shape, dtype: torch.dtype, device: str) -> Tensor:
    """Draw in_proj's output."""
    generator = torch.Generator().manual_seed(shape.length)
    drawn = torch.randn(shape.batch, shape.length, 2 * shape.channels, generator=generator)
    return drawn.to(dtype).to(device)


def _block(shape: Shape, dtype: torch.dtype, device: str) -> Errors:
    """Compare convolution, products and scan of a block, and all their gradients."""
    from vfeat.kernels.gpu.block import bidirectional_mamba

    weights = [_rounded(w, dtype) for w in directions(shape, dtype, device)]
    xz = tokens_of(shape, dtype, device)
    with torch.no_grad():
        value = bidirectional_mamba(xz, *weights)
    y, gradients = _with_gradients(bidirectional_mamba, xz, weights)
    exact_weights = [w._make(t if t is None else t.double() for t in w) for w in weights]
    exact, exact_gradients = _with_gradients(
        reference.bidirectional_mamba, xz.double(), exact_weights
    )
    of_values, of_gradients = TOLERANCE[dtype]
    if value.numel() < FEW:
        of_values *= 2
    found = [("value", error(value, exact), of_values)]
    found.append(("value under autograd", error(y, exact), of_values))
    names = ["xz", *(f"{d} {n}" for d in ("forward", "backward") for n in weights[0]._fields)]
    for name, ours, theirs in zip(names, gradients, exact_gradients, strict=True):
        found.append((f"gradient of {name}", error(ours, theirs), of_gradients))
    return found


def _rounded(weights: DirectionWeights, dtype: torch.dtype) -> DirectionWeights:
    """Round each weight as the kernels' operands are, and keep it in float32."""
    return weights._make(t if t is None else t.to(dtype).float() for t in weights)


def _with_gradients(
    block: Callable[..., Tensor], xz: Tensor, weights: list[DirectionWeights]
) -> tuple[Tensor, list[Tensor]]:
    """Run a block and its backward pass under a fixed gradient of the result."""
    xz = xz.clone().requires_grad_()
    weights = [w._make(t if t is None else t.clone().requires_grad_() for t in w) for w in weights]
    y = block(xz, *weights)
    slope = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view_as(y).to(y.dtype)
    inputs = [xz, *(t for w in weights for t in w if t is not None)]
    gradients = torch.autograd.grad(y, inputs, slope.to(y.device))
    return y, list(gradients)


def _segments(shape: Shape, tokens: int, dtype: torch.dtype, device: str) -> Errors:
    """Compare a clip in segments with the same clip in one."""
    from vfeat.kernels.gpu.block import bidirectional_mamba

    weights, xz = directions(shape, dtype, device), tokens_of(shape, dtype, device)
    plan, found = launch.segment_tokens, []
    try:
        with torch.no_grad():
            for count in (shape.length, tokens):
                launch.segment_tokens = lambda *_, count=count: count  # type: ignore[misc]
                found.append(bidirectional_mamba(xz, *weights))
    finally:
        launch.segment_tokens = plan
    return [("value", error(found[1], found[0]), TOLERANCE[dtype][0])]


def _scan(length: int, dtype: torch.dtype, device: str) -> Errors:
    """Compare the scan alone, in one direction, with its last state."""
    from vfeat.kernels.gpu.block import selective_scan

    generator = torch.Generator().manual_seed(length)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator).to(dtype).to(device)

    B, E, N, L = 2, 24, 8, length
    given = [normal(B, E, L), normal(B, E, L), -torch.exp(normal(E, N).float())]
    given += [normal(B, N, L), normal(B, N, L), normal(E), normal(B, E, L), normal(E) - 2]
    found = []
    for reverse in (False, True):
        with torch.no_grad():
            ours = selective_scan(*given, delta_softplus=True, reverse=reverse)
            wide = [t.double() for t in given]
            exact = reference.selective_scan(*wide, delta_softplus=True, reverse=reverse)
        way = "backward" if reverse else "forward"
        for name, a, b in zip(("value", "last state"), ours, exact, strict=True):
            found.append((f"{way} {name}", error(a, b), TOLERANCE[dtype][0]))
    return found


def _norm(width: int, dtype: torch.dtype, device: str) -> Errors:
    """Compare add + RMSNorm, with a residual and without."""
    from vfeat.kernels.gpu.norm import add_rms_norm

    generator = torch.Generator().manual_seed(width)
    hidden, residual, weight = (
        torch.randn(*size, generator=generator).to(device)
        for size in ((3, 5, width), (3, 5, width), (width,))
    )
    hidden, weight = hidden.to(dtype), weight.to(dtype)
    found = []
    for name, stream in (("with a residual", residual), ("without", None)):
        with torch.no_grad():
            ours = add_rms_norm(hidden, stream, weight, 1e-5)
        wide = None if stream is None else stream.double()
        exact = reference.add_rms_norm(hidden.double(), wide, weight.double(), 1e-5)
        found.append((f"{name}: normed", error(ours[0], exact[0]), TOLERANCE[dtype][0]))
        found.append((f"{name}: sum", error(ours[1], exact[1]), 1e-6))
    return found


def _pixels(frames: tuple[int, int, int], dtype: torch.dtype, device: str) -> Errors:
    """Compare normalised patches, from the same uint8 pixels."""
    from vfeat.kernels import pixels
    from vfeat.kernels.gpu.pixels import pixel_rows

    clips, count, side = frames
    generator = torch.Generator().manual_seed(side)
    drawn = torch.randint(256, (clips, count, side, side, 3), generator=generator)
    given = drawn.to(torch.uint8).to(device)
    mean, std = (torch.tensor(v, device=device) for v in ([0.45, 0.4, 0.5], [0.2, 0.25, 0.3]))
    found = []
    for depth in (1, 2):
        patch = pixels.Patch(depth, 16, 16)
        ours = pixel_rows(given, mean, std, patch, dtype)
        exact = pixels.pixel_rows(given, mean, std, patch, torch.float64)
        found.append((f"tubelets of {depth}", error(ours, exact), TOLERANCE[dtype][0]))
    return found


def _repeats(shape: Shape, device: str) -> Errors:
    """Run a GPU full of clips several times: a race of two threads shows in the bits."""
    from vfeat.kernels.gpu.block import bidirectional_mamba

    dtype = torch.bfloat16
    weights, xz = directions(shape, dtype, device), tokens_of(shape, dtype, device)
    first, first_gradients = _with_gradients(bidirectional_mamba, xz, weights)
    unequal = 0
    for _ in range(1 if device == "cpu" else 5):
        again, gradients = _with_gradients(bidirectional_mamba, xz, weights)
        pairs = zip([first, *first_gradients], [again, *gradients], strict=True)
        unequal += sum(not torch.equal(a, b) for a, b in pairs)
    return [("results that differ from run to run", float(unequal), 0.0)]
