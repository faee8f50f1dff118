"""What the Triton kernels must obey, run on CPU tensors by Triton's interpreter.

`test_triton_interpreter.py` starts this file in a process of its own, because the
interpreter is chosen when triton is imported. It models no races, layouts or registers.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.kernels.conftest import random_direction, random_scan, relative
from vfeat import ops
from vfeat.kernels import pixels, reference
from vfeat.kernels.gpu import availability, launch, scan_ops
from vfeat.kernels.gpu import block as gpu_block
from vfeat.models import create_model
from vfeat.models.pixels import Pixels

Block = tuple[Tensor, ops.DirectionWeights, ops.DirectionWeights]


def block(length: int, channels: int = 24, batch: int = 2) -> Block:
    """Arguments of `bidirectional_mamba`, in float32."""
    generator = torch.Generator().manual_seed(length)
    xz = torch.randn(batch, length, 2 * channels, generator=generator)
    return xz, random_direction(0, channels), random_direction(1, channels)


def wide(given: Block) -> Block:
    """The same in float64."""
    xz, *directions = given
    forward, backward = (w._make(None if t is None else t.double() for t in w) for w in directions)
    return xz.double(), forward, backward


def test_this_process_interprets_and_the_door_leads_here() -> None:
    assert ops.choose("cpu").name == "triton"


def test_a_wrong_result_keeps_the_kernels_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    check = availability._self_check.__wrapped__
    assert check() is None
    monkeypatch.setattr(gpu_block, "bidirectional_mamba", lambda xz, *_: xz[..., ::2])
    assert "differs from torch's by" in (check() or "")
    monkeypatch.setattr(gpu_block, "bidirectional_mamba", lambda *_: 1 / 0)
    assert "ZeroDivisionError" in (check() or "")


@pytest.mark.parametrize("length", [1, 2, 3, 5, 33, 64])
def test_block_equals_float64(length: int) -> None:
    given = block(length, batch=1)
    found = ops.bidirectional_mamba(*given)
    assert relative(found, reference.bidirectional_mamba(*wide(given))) < 1e-6


def test_channels_need_not_fill_the_last_program() -> None:
    given = block(length=7, channels=72)
    found = ops.bidirectional_mamba(*given)
    assert relative(found, reference.bidirectional_mamba(*wide(given))) < 1e-6


@pytest.mark.parametrize("tokens", [1, 4, 16])
def test_segments_change_nothing(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = block(length=13)
    monkeypatch.setattr(launch, "segment_tokens", lambda *_: 13)
    whole = ops.bidirectional_mamba(*given)
    monkeypatch.setattr(launch, "segment_tokens", lambda *_: tokens)
    assert relative(ops.bidirectional_mamba(*given), whole) < 1e-6


def test_bfloat16_against_float64_on_the_same_rounded_inputs() -> None:
    xz, *directions = block(length=33)
    rounded = [w._make(None if t is None else t.bfloat16().float() for t in w) for w in directions]
    found = ops.bidirectional_mamba(xz.bfloat16(), *rounded).double()
    exact = reference.bidirectional_mamba(*wide((xz.bfloat16(), *rounded)))
    assert float((found - exact).norm() / exact.norm()) < 4e-3


@pytest.mark.parametrize("length", [1, 3, 9])
def test_gradients_of_the_block(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_ops, "CHUNK_TOKENS", 4)  # the state crosses chunks
    given = block(length, channels=40)

    def gradients(xz: Tensor, forward: ops.DirectionWeights, backward: ops.DirectionWeights):  # type: ignore[no-untyped-def]  # noqa: ANN202
        tensors = [t.requires_grad_() for t in (xz, *forward, *backward) if t is not None]
        run = reference if xz.dtype == torch.float64 else ops
        y = run.bidirectional_mamba(xz, forward, backward)
        weight = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view_as(y)
        return torch.autograd.grad((y * weight.to(y.dtype)).sum(), tensors)

    for index, (found, want) in enumerate(
        zip(gradients(*given), gradients(*wide(given)), strict=True)
    ):
        assert float((found - want).norm()) <= 2e-5 * float(want.norm()), index


def test_training_gives_the_values_of_inference() -> None:
    xz, forward, backward = block(length=11)
    inference = ops.bidirectional_mamba(xz, forward, backward)
    training = ops.bidirectional_mamba(xz.requires_grad_(), forward, backward)
    assert relative(training.detach(), inference) < 1e-6


def test_flipped_tokens_with_swapped_weights_flip_the_output() -> None:
    xz, forward, backward = block(length=9)
    there = ops.bidirectional_mamba(xz, forward, backward)
    assert relative(ops.bidirectional_mamba(xz.flip(1), backward, forward).flip(1), there) < 1e-6


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_a_bad_token_spoils_its_clip_and_no_other(value: float) -> None:
    xz, forward, backward = block(length=9)
    clean = ops.bidirectional_mamba(xz, forward, backward)
    xz[0, 4, 0] = value
    spoilt = ops.bidirectional_mamba(xz, forward, backward)
    assert not torch.isfinite(spoilt[0]).any()
    assert torch.equal(spoilt[1], clean[1])


def test_two_runs_are_bit_equal() -> None:
    given = block(length=17)
    assert torch.equal(ops.bidirectional_mamba(*given), ops.bidirectional_mamba(*given))


def test_strides_and_missing_biases_do_not_matter() -> None:
    xz, forward, backward = block(length=6)
    forward = forward._replace(conv_bias_E=None)
    backward = backward._replace(x_proj_weight=backward.x_proj_weight.t().contiguous().t())
    found = ops.bidirectional_mamba(xz.mT.contiguous().mT, forward, backward)
    assert relative(found, reference.bidirectional_mamba(xz, forward, backward)) < 2e-6


def test_no_clips_no_output() -> None:
    assert ops.bidirectional_mamba(*block(length=5, batch=0)).shape == (0, 5, 24)


def test_a_changed_weight_is_seen() -> None:
    xz, forward, backward = block(length=4)
    with torch.no_grad():
        before = ops.bidirectional_mamba(xz, forward, backward)
        forward.D_E.add_(1)
        after = ops.bidirectional_mamba(xz, forward, backward)
    assert not torch.equal(before, after)
    assert relative(after, reference.bidirectional_mamba(xz, forward, backward)) < 2e-6


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("softplus", [False, True], ids=["raw step", "softplus"])
def test_scan_and_its_last_state_and_gradients(softplus: bool, reverse: bool) -> None:
    given = random_scan(batch=2, channels=34, length=9, states=8)
    if not softplus:
        given["delta"], given["delta_bias"] = given["delta"].abs(), given["delta_bias"].abs()

    def run(dtype: torch.dtype) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        tensors = [t.to(dtype).requires_grad_() for t in given.values()]
        scan = reference if dtype == torch.float64 else ops.choose("cpu")
        y, h = scan.selective_scan(*tensors, softplus, reverse)  # type: ignore[attr-defined]
        return [y, h], torch.autograd.grad(y.square().sum() + h.square().sum(), tensors)

    (found, found_grads), (want, want_grads) = run(torch.float32), run(torch.float64)
    for a, b in zip(found, want, strict=True):
        assert relative(a.detach(), b.detach()) < 1e-6
    for name, a, b in zip(given, found_grads, want_grads, strict=True):
        assert relative(a, b) < 2e-5, name


@pytest.mark.parametrize(
    ("delta", "A"),
    [(-60.0, -1.0), (-12.0, -1.0), (25.0, -1.0), (60.0, -3.0), (25.0, -1e-6)],
    ids=["step near 0", "small step", "step over 20", "decay underflows", "no decay"],
)
def test_extreme_time_steps(delta: float, A: float) -> None:
    given = random_scan(batch=1, channels=4, length=20)
    given["delta"] = torch.full_like(given["delta"], delta)
    given["A"] = torch.full_like(given["A"], A)
    given["D"] = torch.zeros_like(given["D"])  # what a small step adds is all there is
    y, h = ops.selective_scan(**given, delta_softplus=True, return_last_state=True)  # type: ignore[call-overload]
    want = reference.selective_scan(*(t.double() for t in given.values()), delta_softplus=True)
    # 2^x of a rounded x is off by x times half a unit in the last place.
    assert relative(y, want[0]) < 4e-6
    assert relative(h, want[1]) < 4e-6


@pytest.mark.parametrize("form", ["one group", "constant"])
def test_other_forms_of_B_and_C(form: str) -> None:
    given = random_scan(batch=2, channels=6, length=5, states=4)
    if form == "one group":
        given["B"], given["C"] = given["B"][:, None], given["C"][:, None]
    else:
        given["B"], given["C"] = torch.randn(6, 4), torch.randn(6, 4)
    y = ops.selective_scan(**given, delta_softplus=True)  # type: ignore[call-overload]
    want, _ = reference.selective_scan(*given.values(), delta_softplus=True)
    assert relative(y, want) < 1e-6


@pytest.mark.parametrize(("batch", "length"), [(0, 5), (2, 0)])
def test_nothing_in_nothing_out(batch: int, length: int) -> None:
    given = random_scan(batch=batch, channels=4, length=length)
    y, h = ops.selective_scan(**given, return_last_state=True)  # type: ignore[call-overload]
    assert y.shape == (batch, 4, length)
    assert h.shape == (batch, 4, 16) and not h.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("first", [True, False], ids=["no residual", "residual"])
def test_add_and_norm(first: bool, dtype: torch.dtype) -> None:
    hidden, weight = torch.randn(2, 3, 40).to(dtype), torch.randn(40).to(dtype)
    residual = None if first else torch.randn(2, 3, 40)
    found = ops.add_rms_norm(hidden, residual, weight)
    want = reference.add_rms_norm(hidden, residual, weight, 1e-5)
    for a, b, tolerance in zip(
        found, want, (8e-3 if dtype.itemsize == 2 else 1e-6, 0), strict=True
    ):
        assert a.dtype == b.dtype
        assert relative(a, b) <= tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("patch", [(1, 4, 4), (2, 4, 2), (4, 8, 12), (1, 8, 12)], ids=str)
def test_pixel_rows_equal_float64(patch: tuple[int, int, int], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(256, (2, 4, 8, 12, 3), dtype=torch.uint8, generator=generator)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    found = ops.pixel_rows(frames, mean, std, ops.Patch(*patch), dtype)
    exact = pixels.pixel_rows(frames, mean.double(), std.double(), ops.Patch(*patch), torch.float64)
    assert found.shape == exact.shape
    assert found.dtype == dtype
    assert relative(found.double(), exact) < (1e-6 if dtype == torch.float32 else 4e-3)


def test_pixels_need_not_fill_the_last_program() -> None:
    frames = torch.randint(256, (1, 1, 16, 48, 3), dtype=torch.uint8)
    mean, std = torch.rand(3), torch.rand(3) + 0.5
    found = ops.pixel_rows(frames, mean, std, ops.Patch(1, 16, 16))  # 2,304 values a strip
    exact = pixels.pixel_rows(frames, mean, std, ops.Patch(1, 16, 16), torch.float64)
    assert relative(found, exact) < 1e-6


def test_a_model_takes_uint8_pixels_as_it_takes_a_normalised_video() -> None:
    model = create_model("videomamba_tiny", weights="random", img_size=32, num_frames=2, depth=1)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(256, (2, 2, 32, 32, 3), dtype=torch.uint8, generator=generator)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    given = Pixels(frames, mean, std)
    with torch.no_grad():
        by_product = [model.patch_embed.product(one) for one in (given, given.video())]
        wide_video = pixels.pixel_rows(
            frames, mean.double(), std.double(), ops.Patch(2, 32, 32), torch.float64
        ).view(2, 3, 2, 32, 32)
        exact = model.patch_embed.double()(wide_video)
    for found in by_product:
        assert relative(found, exact) < 2e-6
