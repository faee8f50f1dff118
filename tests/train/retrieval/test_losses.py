"""Losses of clips and captions against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vfeat.train.retrieval.losses import (
    IGNORED,
    SpecialTokens,
    contrastive_loss,
    draw_hard_negatives,
    excluded_pairs,
    hidden_word_loss,
    hide_words,
    matching_pairs,
)
from vfeat.train.retrieval.recall import chance, recall


def similarity(rows: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, rows, dtype=torch.float64, generator=generator)


def none_excluded(rows: int) -> torch.Tensor:
    return torch.zeros(rows, rows, dtype=torch.bool)


def by_definition(scores: torch.Tensor, excluded: torch.Tensor) -> float:
    """The mean of -log of each row's and column's share, written out."""
    total, count = 0.0, len(scores)
    for table, out in ((scores, excluded), (scores.T, excluded.T)):
        for row in range(count):
            others = [math.exp(table[row, c]) for c in range(count) if not out[row, c]]
            total -= math.log(math.exp(table[row, row]) / sum(others))
    return total / (2 * count)


def test_the_contrastive_loss_is_its_definition() -> None:
    scores = similarity(6)
    excluded = excluded_pairs(torch.tensor([0, 1, 2, 1, 3, 4]), torch.tensor([0, 1, 2, 3, 4, 0]))
    assert float(contrastive_loss(scores, excluded)) == pytest.approx(
        by_definition(scores, excluded), rel=1e-12
    )
    assert excluded.sum() == 4 and excluded[1, 3] and excluded[0, 5]


def test_its_gradient_is_that_of_its_values() -> None:
    scores = similarity(5).requires_grad_()
    excluded = excluded_pairs(torch.tensor([0, 1, 1, 2, 3]), torch.arange(5))
    assert torch.autograd.gradcheck(lambda s: contrastive_loss(s, excluded), (scores,))


def test_equal_captions_do_not_push_each_other_away() -> None:
    scores = similarity(4).requires_grad_()
    excluded = excluded_pairs(torch.tensor([7, 3, 7, 5]), torch.arange(4))
    contrastive_loss(scores, excluded).backward()
    assert scores.grad is not None
    assert scores.grad[0, 2] == 0 == scores.grad[2, 0]
    assert (scores.grad[~excluded] != 0).all()


def test_hard_negatives_are_drawn_by_their_similarity() -> None:
    torch.manual_seed(0)
    scores, excluded = similarity(4, seed=3), none_excluded(4)
    excluded[0, 2] = excluded[2, 0] = True
    counts = torch.zeros(4, 4)
    draws = 4000
    for _ in range(draws):
        rows, columns = draw_hard_negatives(scores, excluded)
        counts[rows, columns] += 1
    allowed = ~excluded & ~torch.eye(4, dtype=torch.bool)
    expected = scores.masked_fill(~allowed, -math.inf).softmax(1).float()
    torch.testing.assert_close(counts / draws, expected, atol=0.04, rtol=0)
    assert not counts[~allowed].any()


def test_a_row_without_a_wrong_partner_makes_no_pair() -> None:
    excluded = excluded_pairs(torch.tensor([0, 0, 1]), torch.arange(3))
    pairs = matching_pairs(similarity(3), excluded)
    assert pairs.matches_N.tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    wrong = {(int(c), int(t)) for c, t in zip(pairs.clips_N[3:], pairs.captions_N[3:], strict=True)}
    assert wrong <= {(0, 2), (1, 2), (2, 0), (2, 1)}
    same = excluded_pairs(torch.zeros(3, dtype=torch.int64), torch.arange(3))
    assert matching_pairs(similarity(3), same).matches_N.tolist() == [1, 1, 1]


def test_hidden_words_are_words() -> None:
    torch.manual_seed(0)
    special = SpecialTokens(never=(0, 2, 3), mask=4, vocabulary=50)
    ids = torch.randint(5, 50, (400, 12))
    ids[:, 0], ids[:, 9], ids[:, 10:] = 2, 3, 0
    shown, targets = hide_words(ids, special, 0.5)
    hidden = targets != IGNORED
    marks = torch.isin(ids, torch.tensor(special.never))
    assert not hidden[marks].any() and (shown[marks] == ids[marks]).all()
    assert (shown[~hidden] == ids[~hidden]).all() and (targets[hidden] == ids[hidden]).all()
    assert 0.47 < hidden[~marks].float().mean() < 0.53
    assert 0.77 < (shown[hidden] == special.mask).float().mean() < 0.83
    assert 0.08 < (shown[hidden] == ids[hidden]).float().mean() < 0.13


def test_nothing_hidden_costs_nothing() -> None:
    logits = torch.randn(2, 3, 7)
    assert float(hidden_word_loss(logits, torch.full((2, 3), IGNORED))) == 0.0
    targets = torch.tensor([[1, IGNORED, IGNORED], [IGNORED, 2, IGNORED]])
    expected = -(logits[0, 0].log_softmax(0)[1] + logits[1, 1].log_softmax(0)[2]) / 2
    torch.testing.assert_close(hidden_word_loss(logits, targets), expected)


def test_recall_counts_equal_scores_against_the_answer() -> None:
    scores = np.array([[0.9, 0.1, 0.5], [0.5, 0.5, 0.1], [0.3, 0.2, 0.1]])
    found = recall(scores, np.eye(3, dtype=bool))
    assert (found.r1, found.r5, found.median_rank) == (1 / 3, 1.0, 2.0)
    right = np.array([[True, False, True], [True, True, False], [False, False, True]])
    assert recall(scores, right).r1 == 2 / 3
    assert recall(np.zeros((20, 20)), np.eye(20, dtype=bool)).r10 == 0.0


def test_chance_is_what_random_orders_give() -> None:
    assert chance(20, [1, 1], 5) == pytest.approx(0.25)
    assert chance(4, [2], 1) == 0.5 and chance(3, [1], 10) == 1.0
    rng = np.random.default_rng(0)
    hits = [rng.permutation(30)[:5].min() < 3 for _ in range(20_000)]
    assert chance(30, [3], 5) == pytest.approx(float(np.mean(hits)), abs=0.02)
