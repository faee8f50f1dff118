"""Metrics, losses and class weights, by numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vfeat.train.head.objective import Objective
from vfeat.train.metrics import average_precision, measure
from vfeat.train.task import Example, Task

CPU = torch.device("cpu")


def test_average_precision() -> None:
    """Hits at ranks 1 and 3 of four: (1/1 + 2/3) / 2."""
    scores, truth = np.array([0.9, 0.2, 0.5, 0.4]), np.array([True, False, False, True])
    assert average_precision(scores, truth) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(scores, np.zeros(4, np.bool_)) is None


def test_equal_scores_do_not_depend_on_their_order() -> None:
    for truth in ([True, False, False], [False, False, True]):
        assert average_precision(np.zeros(3), np.array(truth)) == pytest.approx(1 / 3)


def test_top1_and_confusion() -> None:
    predicted = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    found = measure("classification", predicted, [0, 1, 1])
    assert found.top1 == pytest.approx(2 / 3)
    assert found.confusion == [[1, 0], [1, 1]]  # rows are the truth
    assert found.loss == pytest.approx(-math.log(0.7 * 0.4 * 0.8) / 3)


def test_mean_ap_leaves_out_classes_without_a_positive() -> None:
    predicted = np.array([[0.9, 0.1, 0.5], [0.2, 0.8, 0.5]])
    found = measure("multilabel", predicted, [(0,), (0, 1)])
    assert found.average_precision == [1.0, 1.0, None] and found.mean_ap == 1.0


def test_lower_errors_are_better_scores() -> None:
    good, bad = (measure("regression", np.array([[v]]), [1.0]) for v in (1.5, 3.0))
    assert (good.mse, bad.mse) == (0.25, 4.0) and good.score > bad.score


def balanced(kind: str, targets: list[object], classes: int) -> Objective:
    examples = tuple(Example(n, t) for n, t in enumerate(targets))  # type: ignore[arg-type]
    names = tuple(f"c{n}" for n in range(classes))
    return Objective(Task("t", kind, names, examples, (), ()), "balanced", CPU)  # type: ignore[arg-type]


def test_balanced_weights_make_a_rare_class_count_as_much() -> None:
    """Three of class 0, one of class 1, none of class 2: both weigh half of the loss."""
    logits = torch.tensor([[2.0, 0.0, -9.0]] * 4)
    loss = balanced("classification", [0, 0, 0, 1], 3).loss(logits, [0, 0, 0, 1])
    each = -torch.log_softmax(logits[0], 0)
    assert float(loss) == pytest.approx(float(each[0] + each[1]) / 2)


def test_balanced_labels_weigh_positives() -> None:
    """One of four videos has the label: its loss counts three times."""
    objective = balanced("multilabel", [(0,), (), (), ()], 1)
    loss = objective.loss(torch.zeros(1, 1), [(0,)])
    assert float(loss) == pytest.approx(3 * math.log(2))


def test_regression_is_learned_in_its_own_units() -> None:
    task = Task("t", "regression", (), (), (), (), centre=10.0, scale=2.0)
    objective = Objective(task, "none", CPU)
    assert float(objective.loss(torch.tensor([[1.0]]), [12.0])) == 0
    assert float(objective.activate(torch.tensor([[1.0]]))) == 12.0
