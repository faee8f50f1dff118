"""The scan behind `vfeat.ops` equals the reference, wherever the recurrence is odd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.kernels.conftest import random_scan, relative
from vfeat import ops
from vfeat.errors import VfeatError
from vfeat.kernels import reference, sequential

# Largest relative difference from the reference run in the dtype's state precision.
TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 4e-3}
LENGTHS = [1, 2, 3, 5, 63, 64, 65, 131]


def both(given: dict[str, Tensor], **options: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y and state through the door, then the reference's."""
    y, h = ops.selective_scan(**given, delta_softplus=True, return_last_state=True, **options)  # type: ignore[call-overload]
    want_y, want_h = reference.selective_scan(*given.values(), delta_softplus=True, **options)
    return y, h, want_y, want_h


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_equals_reference(dtype: torch.dtype, length: int, reverse: bool) -> None:
    given = random_scan(batch=2, channels=24, length=length, dtype=dtype)
    y, h, want_y, want_h = both(given, reverse=reverse)
    assert y.dtype == h.dtype == dtype
    assert relative(y, want_y) < TOLERANCE[dtype]
    assert relative(h, want_h) < TOLERANCE[dtype]


def test_bfloat16_keeps_a_float32_state() -> None:
    given = random_scan(batch=2, channels=24, length=200)
    given = {k: t if k in ["A", "D", "delta_bias"] else t.bfloat16() for k, t in given.items()}
    y, h = ops.selective_scan(**given, delta_softplus=True, return_last_state=True)  # type: ignore[call-overload]
    exact, _ = reference.selective_scan(*(t.double() for t in given.values()), delta_softplus=True)
    assert (y.dtype, h.dtype) == (torch.bfloat16, torch.float32)
    assert relative(y, exact) < TOLERANCE[torch.bfloat16]


def test_autocast_changes_nothing() -> None:
    given = random_scan(batch=1, channels=8, length=70)
    outside = ops.selective_scan(**given, delta_softplus=True)  # type: ignore[call-overload]
    with torch.autocast("cpu", torch.bfloat16):
        inside = ops.selective_scan(**given, delta_softplus=True)  # type: ignore[call-overload]
    assert torch.equal(inside, outside)


def test_optional_operands_may_be_absent() -> None:
    given = random_scan(batch=2, channels=8, length=9)
    bare = {key: given[key] for key in ("u", "delta", "A", "B", "C")}
    bare["delta"] = bare["delta"].exp()
    y = ops.selective_scan(**bare)  # type: ignore[call-overload]
    assert relative(y, reference.selective_scan(*bare.values())[0]) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("form", ["one group", "two groups", "mixed", "constant"])
def test_every_form_of_B_and_C(form: str) -> None:
    given = random_scan(batch=2, channels=6, length=11, states=4)
    if form == "one group":
        given["B"], given["C"] = given["B"][:, None], given["C"][:, None]
    if form in ("two groups", "mixed"):
        given["B"] = torch.stack([given["B"], given["B"].flip(-1)], dim=1)
    if form == "two groups":
        given["C"] = torch.stack([given["C"], given["C"].flip(-1)], dim=1)
    if form == "constant":
        given["B"], given["C"] = torch.randn(6, 4), torch.randn(6, 4)
    y, h, want_y, want_h = both(given)
    assert relative(y, want_y) < TOLERANCE[torch.float32]
    assert relative(h, want_h) < TOLERANCE[torch.float32]


@pytest.mark.parametrize(
    ("delta", "A"),
    [(-60.0, -1.0), (25.0, -1.0), (60.0, -3.0), (25.0, -1e-6)],
    ids=["step near 0", "step over 20", "decay underflows", "no decay"],
)
def test_extreme_time_steps(delta: float, A: float) -> None:
    given = random_scan(batch=1, channels=4, length=70)
    given["delta"] = torch.full_like(given["delta"], delta)
    given["A"] = torch.full_like(given["A"], A)
    y, h, want_y, want_h = both(given)
    assert torch.isfinite(y).all()
    assert relative(y, want_y) < TOLERANCE[torch.float32]
    assert relative(h, want_h) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_a_bad_token_spoils_its_own_channel_from_there_on(value: float) -> None:
    given = random_scan(batch=1, channels=4, length=80)
    clean, _, _, _ = both(given)
    given["u"] = given["u"].clone()
    given["u"][0, 2, 70] = value
    y, _, want_y, _ = both(given)
    assert not torch.isfinite(y[0, 2, 70:]).any()
    assert torch.equal(y.isnan(), want_y.isnan())
    y[0, 2, 70:] = clean[0, 2, 70:]
    assert torch.equal(y, clean)


def test_strides_do_not_matter() -> None:
    given = random_scan(batch=2, channels=6, length=33)
    strided = {k: t.mT.contiguous().mT if t.dim() > 1 else t for k, t in given.items()}
    strided["z"] = torch.cat([given["z"], given["z"]], dim=1)[:, 6:]
    assert not strided["u"].is_contiguous()
    for found, want in zip(both(strided)[:2], both(given)[:2], strict=True):
        assert relative(found, want) < TOLERANCE[torch.float32]


@pytest.mark.parametrize(("batch", "length"), [(0, 5), (2, 0), (0, 0)])
def test_nothing_in_nothing_out(batch: int, length: int) -> None:
    given = random_scan(batch=batch, channels=4, length=length)
    y, h, _, _ = both(given)
    assert y.shape == (batch, 4, length)
    assert h.shape == (batch, 4, 16) and not h.any()


def test_two_runs_are_bit_equal() -> None:
    given = random_scan(batch=3, channels=32, length=150)
    first, second = both(given), both(given)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


@pytest.mark.parametrize("chunk", [3, 64])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_gradients_are_the_derivative(
    reverse: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequential, "CHUNK_TOKENS", chunk)  # 3: the state crosses chunks
    given = random_scan(batch=2, channels=3, length=7, states=4, dtype=torch.float64)
    tensors = tuple(t.requires_grad_() for t in given.values())

    def run(*operands: Tensor) -> tuple[Tensor, Tensor]:
        return ops.selective_scan(
            *operands, delta_softplus=True, return_last_state=True, reverse=reverse
        )

    assert torch.autograd.gradcheck(run, tensors)


def test_gradients_equal_the_references() -> None:
    given = random_scan(batch=2, channels=24, length=131)
    tensors = [t.requires_grad_() for t in given.values()]
    y, h, want_y, want_h = both(given)
    found = torch.autograd.grad(y.square().sum() + h.sum(), tensors)
    want = torch.autograd.grad(want_y.square().sum() + want_h.sum(), tensors)
    for name, a, b in zip(given, found, want, strict=True):
        assert relative(a, b) < 2e-5, name


def test_training_gives_the_values_of_inference() -> None:
    given = random_scan(batch=1, channels=8, length=100)
    inference, _, _, _ = both(given)
    given["u"].requires_grad_()
    assert torch.equal(both(given)[0], inference)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("delta", (2, 4, 8)), ("A", (5, 16)), ("B", (2, 3, 9)), ("D", (5,)), ("z", (1, 4, 9))],
)
def test_a_wrong_shape_is_named(name: str, shape: tuple[int, ...]) -> None:
    given = random_scan(batch=2, channels=4, length=9) | {name: torch.zeros(shape)}
    with pytest.raises(VfeatError, match=rf"{name}: expected shape .*found \({shape[0]}"):
        ops.selective_scan(**given)  # type: ignore[call-overload]
