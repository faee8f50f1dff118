"""The fused block in C++ equals the float64 reference, on every instruction set here."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.kernels.conftest import random_direction, relative
from tests.kernels.cpu import (
    FORWARD,
    LENGTHS,
    assert_near,
    assert_same_gradients,
    doubled,
    isa,
    needs_library,
)
from vfeat.kernels import cpu_block, reference, torch_ops
from vfeat.ops import DirectionWeights

pytestmark = needs_library
__all__ = ["isa"]
Given = tuple[Tensor, DirectionWeights, DirectionWeights]


def block(length: int, channels: int = 48, batch: int = 2, rank: int = 3) -> Given:
    """Arguments of `bidirectional_mamba`; 48 channels are an odd number of blocks."""
    generator = torch.Generator().manual_seed(length)
    xz = torch.randn(batch, length, 2 * channels, generator=generator)
    forward, backward = (random_direction(seed, channels, rank=rank) for seed in (0, 1))
    return xz, forward, backward


def exact(xz: Tensor, forward: DirectionWeights, backward: DirectionWeights) -> Tensor:
    return reference.bidirectional_mamba(xz.double(), doubled(forward), doubled(backward))


def run(*given: Tensor) -> list[Tensor]:
    return [cpu_block.bidirectional_mamba(given[0], *_directions(given))]


def run_reference(*given: Tensor) -> list[Tensor]:
    return [reference.bidirectional_mamba(given[0], *_directions(given))]


def _directions(given: tuple[Tensor, ...]) -> tuple[DirectionWeights, DirectionWeights]:
    return DirectionWeights(*given[1:8]), DirectionWeights(*given[8:])


@pytest.mark.parametrize("length", LENGTHS)
def test_output_and_every_gradient(isa: str, length: int) -> None:
    xz, forward, backward = block(length)
    tensors = [t for t in (xz, *forward, *backward) if t is not None]
    assert_same_gradients(run, run_reference, tensors)


@pytest.mark.parametrize("rank", [1, 12, 16, 17, 48])
def test_every_width_of_the_projection(isa: str, rank: int) -> None:
    given = block(length=70, channels=64, rank=rank)
    assert_near(cpu_block.bidirectional_mamba(*given), exact(*given), FORWARD)


@pytest.mark.parametrize("channels", [3, 17, 24, 80])
def test_channels_off_the_block(isa: str, channels: int) -> None:
    xz, forward, backward = block(length=33, channels=channels)
    tensors = [t for t in (xz, *forward, *backward) if t is not None]
    assert_same_gradients(run, run_reference, tensors)


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_change_no_bit(batch: int, threads: int) -> None:
    """Whole sequences and shared-out ones run the same arithmetic."""
    given = block(length=150, batch=batch)
    before = torch.get_num_threads()
    one = cpu_block.bidirectional_mamba(*given)
    try:
        torch.set_num_threads(threads)
        assert torch.equal(cpu_block.bidirectional_mamba(*given), one)
    finally:
        torch.set_num_threads(before)


def test_two_runs_are_bit_equal() -> None:
    xz, forward, backward = block(length=300)
    tensors = [t.requires_grad_() for t in (xz, *forward, *backward) if t is not None]
    runs = [run(*tensors)[0] for _ in range(2)]
    grads = [torch.autograd.grad(y.square().sum(), tensors) for y in runs]
    assert torch.equal(*runs)
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_training_gives_the_values_of_inference() -> None:
    xz, forward, backward = block(length=100)
    inference = cpu_block.bidirectional_mamba(xz, forward, backward)
    assert torch.equal(cpu_block.bidirectional_mamba(xz.requires_grad_(), forward, backward),
                       inference)  # fmt: skip


@pytest.mark.parametrize("length", [3, 65])
def test_flipped_tokens_with_swapped_weights_flip_the_output(isa: str, length: int) -> None:
    xz, forward, backward = block(length)
    there = cpu_block.bidirectional_mamba(xz, forward, backward)
    back = cpu_block.bidirectional_mamba(xz.flip(1), backward, forward)
    assert relative(back.flip(1), there) < FORWARD


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=str)
def test_what_is_not_finite_shows(isa: str, value: float) -> None:
    """It spoils its own clip as in the reference, and no bit of another."""
    xz, forward, backward = block(length=80)
    clean = cpu_block.bidirectional_mamba(xz, forward, backward)
    xz = xz.clone()
    xz[0, 40, 5] = value
    spoilt = cpu_block.bidirectional_mamba(xz, forward, backward)
    want = reference.bidirectional_mamba(xz, forward, backward)
    assert torch.equal(spoilt[0].isfinite(), want[0].isfinite())
    assert not spoilt[0].isfinite().all()
    assert torch.equal(spoilt[1], clean[1])


@pytest.mark.parametrize("name", ["conv_weight_EW", "x_proj_weight", "dt_bias_E", "A_log_EN"])
def test_a_weight_that_is_nan_shows(isa: str, name: str) -> None:
    xz, forward, backward = block(length=20)
    spoilt = getattr(forward, name).clone()
    spoilt[4] = float("nan")
    forward = forward._replace(**{name: spoilt})
    found = cpu_block.bidirectional_mamba(xz, forward, backward)
    want = reference.bidirectional_mamba(xz, forward, backward)
    assert torch.equal(found.isnan(), want.isnan()) and found.isnan().any()


@pytest.mark.parametrize(("bias", "A_log"), [(-60.0, 0.0), (25.0, 0.0), (60.0, 1.1), (25.0, -14.0)])
def test_extreme_time_steps(isa: str, bias: float, A_log: float) -> None:
    xz, forward, backward = block(length=70)
    extreme = {
        "dt_bias_E": torch.full_like(forward.dt_bias_E, bias),
        "A_log_EN": torch.full_like(forward.A_log_EN, A_log),
    }
    given = xz, forward._replace(**extreme), backward._replace(**extreme)
    assert_near(cpu_block.bidirectional_mamba(*given), exact(*given), FORWARD)


def test_bfloat16_is_rounded_once() -> None:
    xz, forward, backward = block(length=70)
    narrow = xz.bfloat16()
    found = cpu_block.bidirectional_mamba(narrow, forward, backward)
    want = cpu_block.bidirectional_mamba(narrow.float(), forward, backward).bfloat16()
    assert torch.equal(found, want)


def test_rare_forms_go_to_the_torch_back_end() -> None:
    xz = torch.randn(2, 9, 12)
    forward, backward = (random_direction(seed, 6, states=4) for seed in (0, 1))
    found = cpu_block.bidirectional_mamba(xz, forward, backward)
    assert torch.equal(found, torch_ops.bidirectional_mamba(xz, forward, backward))
    empty = block(length=5, batch=0)
    assert cpu_block.bidirectional_mamba(*empty).shape == (0, 5, 48)
