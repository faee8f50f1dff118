"""The matrix product of the CPU back-end: the same numbers, whichever library makes them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vfeat import ops
from vfeat.kernels import cpu_linear
from vfeat.ops.registry import VARIABLE

SHAPES = [((3, 50, 64), 96), ((1, 7), 5), ((2, 0, 16), 8), ((1000, 192), 768)]


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both, whatever the processor."""
    monkeypatch.setattr(cpu_linear, "onednn_is_faster", lambda: request.param)
    monkeypatch.setenv(VARIABLE, "cpu")
    return bool(request.param)


@pytest.mark.parametrize(("shape", "outputs"), SHAPES)
@pytest.mark.parametrize("biased", [False, True])
def test_against_float64(library: bool, shape: tuple[int, ...], outputs: int, biased: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(shape), torch.randn(outputs, shape[-1])
    bias = torch.randn(outputs) if biased else None
    exact = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    with torch.no_grad():
        for given in (x, x.mT.contiguous().mT):  # not contiguous either
            found = ops.linear(given, weight, bias)
            assert found.dtype is torch.float32 and found.shape == exact.shape
            torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5 * shape[-1] ** 0.5)


def test_gradients_and_other_dtypes_are_torchs(library: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(4, 6, requires_grad=True), torch.randn(5, 6, requires_grad=True)
    ops.linear(x, weight).sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, x.detach().sum(0).expand(5, 6))
    half, matrix = x.detach().bfloat16(), weight.detach().bfloat16()
    assert torch.equal(ops.linear(half, matrix), F.linear(half, matrix))
