"""Scan, convolution and norm in C++ equal the float64 reference, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.kernels.conftest import random_scan, relative
from tests.kernels.cpu import (
    FORWARD,
    LENGTHS,
    assert_near,
    assert_same_gradients,
    isa,
    needs_library,
)
from vfeat import ops
from vfeat.kernels import cpu_conv, cpu_norm, cpu_scan, reference

pytestmark = needs_library
__all__ = ["isa"]


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("length", LENGTHS)
def test_scan(isa: str, length: int, reverse: bool) -> None:
    given = random_scan(batch=2, channels=40, length=length)

    def run(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        return cpu_scan.selective_scan(*tensors, delta_softplus=True, reverse=reverse)

    def exact(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        return reference.selective_scan(*tensors, delta_softplus=True, reverse=reverse)

    assert_same_gradients(run, exact, list(given.values()))


def test_scan_without_its_options(isa: str) -> None:
    given = random_scan(batch=2, channels=16, length=70)
    tensors = [given["u"], given["delta"].exp() / 10, given["A"], given["B"], given["C"]]
    assert_same_gradients(cpu_scan.selective_scan, reference.selective_scan, tensors)


def test_scan_that_grows(isa: str) -> None:
    """Positive A and negative time steps are unusual, and allowed."""
    given = random_scan(batch=1, channels=16, length=9)
    for sign_A, sign_dt in ((-1, 1), (1, -1), (-1, -1)):
        tensors = [given["u"], sign_dt * given["delta"].exp() / 10, sign_A * given["A"].abs()]
        tensors += [given["B"], given["C"]]
        assert_same_gradients(cpu_scan.selective_scan, reference.selective_scan, tensors)


@pytest.mark.parametrize(
    ("delta", "A"),
    [(-60.0, -1.0), (25.0, -1.0), (60.0, -3.0), (25.0, -1e-6), (200.0, -1.0)],
    ids=["step near 0", "step over 20", "decay underflows", "no decay", "decay is 0"],
)
def test_extreme_time_steps(isa: str, delta: float, A: float) -> None:
    given = random_scan(batch=1, channels=16, length=70)
    given["delta"] = torch.full_like(given["delta"], delta)
    given["A"] = torch.full_like(given["A"], A)
    found = cpu_scan.selective_scan(*given.values(), delta_softplus=True)
    plain = reference.selective_scan(*given.values(), delta_softplus=True)
    exact = reference.selective_scan(*(t.double() for t in given.values()), delta_softplus=True)
    for ours, float32, want in zip(found, plain, exact, strict=True):
        # At -60, the sum with the bias alone rounds by more than the tolerance.
        assert_near(ours, want, max(FORWARD, 1.5 * relative(float32, want)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
@pytest.mark.parametrize("operand", ["u", "delta", "B", "C", "z"])
def test_what_is_not_finite_shows(isa: str, operand: str, value: float) -> None:
    given = random_scan(batch=1, channels=16, length=80)
    given[operand] = given[operand].clone()
    given[operand][0, 2, 70] = value
    y, _ = cpu_scan.selective_scan(*given.values(), delta_softplus=True)
    want, _ = reference.selective_scan(*given.values(), delta_softplus=True)
    assert torch.equal(y.isfinite(), want.isfinite())


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("silu", [False, True], ids=["linear", "silu"])
@pytest.mark.parametrize("length", LENGTHS)
def test_convolution(isa: str, length: int, silu: bool, reverse: bool) -> None:
    torch.manual_seed(length)
    given = [torch.randn(2, 40, length), torch.randn(40, 4), torch.randn(40)]

    def run(*tensors: Tensor) -> list[Tensor]:
        return [cpu_conv.causal_conv1d(*tensors, silu=silu, reverse=reverse)]

    def exact(*tensors: Tensor) -> list[Tensor]:
        return [reference.causal_conv1d(*tensors, silu=silu, reverse=reverse)]

    assert_same_gradients(run, exact, given)
    assert_same_gradients(run, exact, given[:2])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=str)
def test_convolution_of_what_is_not_finite(isa: str, value: float) -> None:
    x, weight = torch.randn(1, 16, 20), torch.randn(16, 4)
    x[0, 3, 9] = value
    found = cpu_conv.causal_conv1d(x, weight, silu=True)
    want = reference.causal_conv1d(x, weight, silu=True)
    assert torch.equal(found.isnan(), want.isnan())


@pytest.mark.parametrize("tokens", [1, 127, 130])
@pytest.mark.parametrize("residual", [False, True], ids=["first", "later"])
def test_norm(isa: str, tokens: int, residual: bool) -> None:
    torch.manual_seed(tokens)
    given = [torch.randn(2, tokens, 48), torch.randn(48)]
    given += [torch.randn(2, tokens, 48)] if residual else []

    def run(hidden: Tensor, weight: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return cpu_norm.add_rms_norm(hidden, before, weight, 1e-5)

    def exact(
        hidden: Tensor, weight: Tensor, before: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return reference.add_rms_norm(hidden, before, weight, 1e-5)

    assert_same_gradients(run, exact, given)


def test_norm_keeps_dtypes_and_strides() -> None:
    hidden, weight = torch.randn(2, 9, 48), torch.randn(48)
    whole, stream = ops.add_rms_norm(hidden, None, weight)
    assert torch.equal(stream, hidden)
    first, _ = ops.add_rms_norm(hidden[:, :1], None, weight)
    assert torch.equal(first, whole[:, :1])
    narrow, stream = ops.add_rms_norm(hidden.bfloat16(), stream, weight.bfloat16())
    assert (narrow.dtype, stream.dtype) == (torch.bfloat16, torch.float32)


def test_operators_are_well_formed() -> None:
    """Schema, shapes without data, and autograd agree, so that torch.compile may trace them."""
    scan = random_scan(batch=2, channels=16, length=9)
    tokens = [scan[k].transpose(1, 2).contiguous() for k in ("u", "delta")]
    states = [scan[k].transpose(1, 2).contiguous() for k in ("B", "C")]
    given = [t.requires_grad_() for t in (*tokens, scan["A"], *states, scan["D"], tokens[0])]
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(
        torch.ops.vfeat_cpu.scan, (*given[:6], None, True, False, True), test_utils=checks
    )
    torch.library.opcheck(
        torch.ops.vfeat_cpu.conv, (tokens[0], torch.randn(16, 4), None, True, False),
        test_utils=checks,
    )  # fmt: skip
    torch.library.opcheck(
        torch.ops.vfeat_cpu.add_rms_norm, (tokens[0], None, torch.randn(16), 1e-5),
        test_utils=checks,
    )  # fmt: skip
