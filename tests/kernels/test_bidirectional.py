"""The fused block equals the reference, and turning time around turns its output around."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.kernels.conftest import random_direction, relative
from vfeat import ops
from vfeat.errors import VfeatError
from vfeat.kernels import reference, sequential

TOLERANCE = {torch.float64: 1e-14, torch.float32: 2e-6, torch.bfloat16: 4e-3}


def block(
    length: int, channels: int = 24, batch: int = 2, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, ops.DirectionWeights, ops.DirectionWeights]:
    """Arguments of `bidirectional_mamba`."""
    generator = torch.Generator().manual_seed(length)
    xz = torch.randn(batch, length, 2 * channels, generator=generator, dtype=torch.float64)
    forward, backward = (random_direction(seed, channels, dtype=dtype) for seed in (0, 1))
    return xz.to(dtype), forward, backward


@pytest.mark.parametrize("length", [1, 2, 3, 4, 63, 65, 197])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_equals_reference(dtype: torch.dtype, length: int) -> None:
    given = block(length, dtype=dtype)
    found = ops.bidirectional_mamba(*given)
    assert found.dtype == dtype
    assert relative(found, reference.bidirectional_mamba(*given)) < TOLERANCE[dtype]


def test_bfloat16_against_float64_on_the_same_inputs() -> None:
    xz, forward, backward = block(length=197)
    xz = xz.bfloat16()
    found = ops.bidirectional_mamba(xz, forward, backward)
    wide = (
        ops.DirectionWeights(*(t.double() for t in w if t is not None)) for w in (forward, backward)
    )
    exact = reference.bidirectional_mamba(xz.double(), *wide)
    assert found.dtype == torch.bfloat16
    assert relative(found, exact) < TOLERANCE[torch.bfloat16]


def test_autocast_changes_nothing() -> None:
    given = block(length=70)
    outside = ops.bidirectional_mamba(*given)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ops.bidirectional_mamba(*given), outside)


@pytest.mark.parametrize("length", [3, 65])
def test_flipped_tokens_with_swapped_weights_flip_the_output(length: int) -> None:
    xz, forward, backward = block(length)
    there = ops.bidirectional_mamba(xz, forward, backward)
    back = ops.bidirectional_mamba(xz.flip(1), backward, forward)
    assert relative(back.flip(1), there) < TOLERANCE[torch.float32]


def test_a_clip_does_not_see_its_neighbours_in_the_batch() -> None:
    xz, forward, backward = block(length=65, batch=5)
    together = ops.bidirectional_mamba(xz, forward, backward)
    alone = torch.cat([ops.bidirectional_mamba(clip[None], forward, backward) for clip in xz])
    assert relative(alone, together) < TOLERANCE[torch.float32]


def test_nan_stays_in_its_clip() -> None:
    xz, forward, backward = block(length=10)
    clean = ops.bidirectional_mamba(xz, forward, backward)
    xz = xz.clone()
    xz[0, 4, 0] = float("nan")
    spoilt = ops.bidirectional_mamba(xz, forward, backward)
    assert spoilt[0].isnan().all()
    assert relative(spoilt[1], clean[1]) < TOLERANCE[torch.float32]


def test_strides_do_not_matter() -> None:
    xz, forward, backward = block(length=20)
    strided = xz.mT.contiguous().mT
    transposed = forward._replace(x_proj_weight=forward.x_proj_weight.t().contiguous().t())
    found = ops.bidirectional_mamba(strided, transposed, backward)
    assert relative(found, ops.bidirectional_mamba(xz, forward, backward)) < 2e-6


def test_no_clips_no_output() -> None:
    given = block(length=5, batch=0)
    assert ops.bidirectional_mamba(*given).shape == (0, 5, 24)


def test_a_convolution_may_have_no_bias() -> None:
    xz, forward, backward = block(length=9)
    forward = forward._replace(conv_bias_E=None)
    found = ops.bidirectional_mamba(xz, forward, backward)
    assert relative(found, reference.bidirectional_mamba(xz, forward, backward)) < 2e-6


def test_two_runs_are_bit_equal() -> None:
    given = block(length=150)
    assert torch.equal(ops.bidirectional_mamba(*given), ops.bidirectional_mamba(*given))


def test_gradients_are_the_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "CHUNK_TOKENS", 3)
    xz = torch.randn(2, 7, 6, dtype=torch.float64)
    weights = [random_direction(s, 3, states=4, rank=2, dtype=torch.float64) for s in (0, 1)]
    tensors = [xz, *(t for w in weights for t in w if t is not None)]

    def run(xz: Tensor, *flat: Tensor) -> Tensor:
        half = len(flat) // 2
        return ops.bidirectional_mamba(
            xz, ops.DirectionWeights(*flat[:half]), ops.DirectionWeights(*flat[half:])
        )

    assert torch.autograd.gradcheck(run, tuple(t.requires_grad_() for t in tensors))


def test_a_wrong_weight_is_named() -> None:
    xz, forward, backward = block(length=5)
    with pytest.raises(VfeatError, match=r"backward\.D_E: expected shape \(24\), found \(23,\)"):
        ops.bidirectional_mamba(xz, forward, backward._replace(D_E=torch.ones(23)))
