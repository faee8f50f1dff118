"""The convolution behind `vfeat.ops` equals the reference."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from tests.kernels.conftest import relative
from vfeat import ops
from vfeat.errors import VfeatError
from vfeat.kernels import reference


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("length", [1, 3, 4, 33])
@pytest.mark.parametrize("activation", [None, "silu"])
def test_equals_reference(activation: Literal["silu"] | None, length: int, reverse: bool) -> None:
    torch.manual_seed(length)
    x, weight, bias = torch.randn(2, 5, length), torch.randn(5, 4), torch.randn(5)
    found = ops.causal_conv1d(x, weight, bias, activation, reverse=reverse)
    want = reference.causal_conv1d(x, weight, bias, activation is not None, reverse)
    assert found.shape == x.shape
    assert relative(found, want) < 1e-6


def test_reverse_is_a_flip() -> None:
    x, weight = torch.randn(2, 5, 9), torch.randn(5, 4)
    found = ops.causal_conv1d(x, weight, reverse=True)
    assert torch.equal(found, ops.causal_conv1d(x.flip(-1), weight).flip(-1))


def test_bfloat16_is_rounded_once() -> None:
    x, weight = torch.randn(2, 5, 9).bfloat16(), torch.randn(5, 4)
    found = ops.causal_conv1d(x, weight, activation="swish")
    want = ops.causal_conv1d(x.float(), weight, activation="swish").bfloat16()
    assert torch.equal(found, want)


def test_no_clips_no_output() -> None:
    assert ops.causal_conv1d(torch.zeros(0, 5, 9), torch.ones(5, 4)).shape == (0, 5, 9)


def test_gradients_are_the_derivative() -> None:
    shapes = [(2, 3, 7), (3, 4), (3,)]
    given = tuple(torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in shapes)
    assert torch.autograd.gradcheck(lambda *t: ops.causal_conv1d(*t, activation="silu"), given)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(VfeatError, match="relu"):
        ops.causal_conv1d(torch.zeros(1, 2, 3), torch.zeros(2, 4), activation="relu")  # type: ignore[arg-type]
