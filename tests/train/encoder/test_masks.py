"""Masks: how many tokens they hide, and which."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from vfeat.train.encoder.objectives.masks import attention_mask, random_mask, tube_mask

BATCH, STEPS, PATCHES = 5, 3, 16


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(kind: str, ratio: float, seed: int = 0) -> Tensor:
    if kind == "attention":
        importance = torch.rand(BATCH, STEPS, PATCHES, generator=seeded(9))
        return attention_mask(importance, ratio, seeded(seed))
    draw = tube_mask if kind == "tube" else random_mask
    return draw(BATCH, STEPS, PATCHES, ratio, seeded(seed))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.8, 0.99])
@pytest.mark.parametrize("kind", ["tube", "random", "attention"])
def test_as_many_are_hidden_as_the_ratio_says(kind: str, ratio: float) -> None:
    mask_BL = drawn(kind, ratio)
    assert mask_BL.shape == (BATCH, 1 + STEPS * PATCHES) and mask_BL.dtype == torch.bool
    assert not mask_BL[:, 0].any(), "the class token"
    expected = int(ratio * STEPS * PATCHES) if kind == "random" else STEPS * int(ratio * PATCHES)
    assert mask_BL.sum(1).tolist() == [expected] * BATCH


def test_a_tube_hides_the_same_patches_all_the_time() -> None:
    hidden_BTS = drawn("tube", 0.5)[:, 1:].view(BATCH, STEPS, PATCHES)
    assert torch.equal(hidden_BTS, hidden_BTS[:, :1].expand_as(hidden_BTS))


@pytest.mark.parametrize("kind", ["random", "attention"])
def test_the_others_hide_other_patches_in_each_step(kind: str) -> None:
    hidden_BTS = drawn(kind, 0.5)[:, 1:].view(BATCH, STEPS, PATCHES)
    assert (hidden_BTS[:, 0] != hidden_BTS[:, 1]).any(1).all()


@pytest.mark.parametrize("kind", ["tube", "random", "attention"])
def test_masks_are_the_seeds(kind: str) -> None:
    assert torch.equal(drawn(kind, 0.5, seed=1), drawn(kind, 0.5, seed=1))
    assert not torch.equal(drawn(kind, 0.5, seed=1), drawn(kind, 0.5, seed=2))
    assert not torch.equal(*drawn(kind, 0.5)[:2]), "each clip has its own"


def test_every_patch_is_hidden_as_often() -> None:
    """Tube and random: 4000 draws, three standard errors of a share of one half are 2.4 %."""
    for draw in (tube_mask, random_mask):
        share_L = draw(4000, 1, 16, 0.5, seeded()).float().mean(0)
        assert share_L[1:].sub(0.5).abs().max() < 0.03


def test_attention_draws_without_replacement() -> None:
    """Two of four stay: each pair as often as two dependent draws would take it."""
    chance = torch.tensor([0.5, 0.3, 0.15, 0.05])
    seen = ~attention_mask(7 * chance.expand(40000, 1, 4), 0.5, seeded())[:, 1:]
    for i, j in combinations(range(4), 2):
        p, q = float(chance[i]), float(chance[j])
        expected = p * q / (1 - p) + q * p / (1 - q)
        found = float((seen[:, i] & seen[:, j]).float().mean())
        assert found == pytest.approx(expected, abs=0.01), (i, j)


def test_what_nobody_attends_to_is_seen_last() -> None:
    importance = torch.tensor([0.0, 1e-6, 0.0, 0.2]).expand(500, 1, 4)
    hidden = attention_mask(importance, 0.5, seeded())[:, 1:]
    assert hidden[:, [0, 2]].all() and not hidden[:, [1, 3]].any()
