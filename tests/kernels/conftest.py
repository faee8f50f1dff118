"""Inputs for the operations, and memory that shows when it is read before written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from vfeat.ops import DirectionWeights


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """`torch.empty` gives NaN: a value that was never written fails its test."""
    before = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = before  # type: ignore[attr-defined]


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value."""
    if expected.numel() == 0:
        return 0.0
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max())


def random_scan(
    batch: int, channels: int, length: int, states: int = 16, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Keyword arguments of `selective_scan`, of the sizes a trained model has."""
    generator = torch.Generator().manual_seed(1000 * length + channels)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length),
        "A": -torch.exp(normal(channels, states)),
        "B": normal(batch, states, length),
        "C": normal(batch, states, length),
        "D": normal(channels),
        "z": normal(batch, channels, length),
        "delta_bias": normal(channels) - 2,
    }


def random_direction(
    seed: int, channels: int, states: int = 16, rank: int = 3, dtype: torch.dtype = torch.float32
) -> DirectionWeights:
    """One direction's weights, with no value at its usual initial one."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return DirectionWeights(
        conv_weight_EW=normal(channels, 4) / 2,
        conv_bias_E=normal(channels) / 2,
        x_proj_weight=normal(rank + 2 * states, channels) / channels**0.5,
        dt_weight_ER=normal(channels, rank) / rank**0.5,
        dt_bias_E=normal(channels) - 2,
        A_log_EN=normal(channels, states),
        D_E=normal(channels),
    )
