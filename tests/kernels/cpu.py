"""What the tests of the C++ kernels share: instruction sets, and exact values to compare with."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor

from tests.kernels.conftest import relative
from vfeat.kernels import cpu_library
from vfeat.ops import DirectionWeights

FORWARD, GRADIENT = 1e-6, 2e-5
LENGTHS = [1, 2, 3, 5, 63, 64, 65, 131]

needs_library = pytest.mark.skipif(
    cpu_library.why_missing() is not None, reason=str(cpu_library.why_missing())
)


SETS = ["avx512", "avx2", "baseline"] if platform.machine() == "x86_64" else ["neon"]


@pytest.fixture(params=SETS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this machine runs."""
    library = cpu_library.load()
    before = library.isa
    if not library.use_isa(request.param):
        pytest.skip(f"no {request.param} here")
    yield request.param
    library.use_isa(before)


def doubled(weights: DirectionWeights) -> DirectionWeights:
    return DirectionWeights(*(None if t is None else t.double() for t in weights))  # type: ignore[arg-type]


def assert_near(found: Tensor, exact: Tensor, tolerance: float, name: str = "") -> None:
    """Both all zero, or the largest difference small beside the largest value."""
    assert found.shape == exact.shape, name
    if exact.abs().max() == 0:
        assert not found.any(), name
    else:
        assert relative(found.detach(), exact.detach()) < tolerance, name


def assert_same_gradients(
    run: Callable[..., Sequence[Tensor]],
    exact: Callable[..., Sequence[Tensor]],
    given: list[Tensor],
) -> None:
    """Outputs and gradients of float32 `run` against `exact` on the same values in float64."""
    results = []
    for function, dtype in ((run, torch.float32), (exact, torch.float64)):
        tensors = [t.to(dtype).requires_grad_() for t in given]
        outputs = function(*tensors)
        generator = torch.Generator().manual_seed(7)
        pulls = [torch.randn(o.shape, generator=generator).to(dtype) for o in outputs]
        gradients = torch.autograd.grad(outputs, tensors, pulls, materialize_grads=True)
        results.append((outputs, gradients))
    for index, (a, b) in enumerate(zip(results[0][0], results[1][0], strict=True)):
        assert_near(a, b, FORWARD, f"output {index}")
    for index, (a, b) in enumerate(zip(results[0][1], results[1][1], strict=True)):
        assert_near(a, b, GRADIENT, f"gradient {index}")
