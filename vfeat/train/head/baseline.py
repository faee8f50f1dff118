"""Baseline without temporal order: the mean over each video, and a linear model.

Shape legend: N videos, D width, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vfeat.job.train_head import ClassWeights
from vfeat.train.head.objective import Objective
from vfeat.train.metrics import Metrics, measure
from vfeat.train.task import Example, Split, Task

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # on the squared weights; chosen on the validation split
ITERATIONS = 100


def linear_baseline(
    task: Task, means_ND: npt.NDArray[np.float32], weights: ClassWeights
) -> dict[Split, Metrics]:
    """Fit mean pooling and a linear model on the same splits; uses no random numbers.

    Args:
        task: examples of each split.
        means_ND: mean feature of each video, by place.
        weights: class weighting of the loss.
    """
    device = torch.device("cpu")
    objective = Objective(task, weights, device)
    train_ND = _rows(means_ND, task.train)
    centre_D, scale_D = train_ND.mean(0), train_ND.std(0, correction=0).clamp(min=1e-6)
    # Standardised, so that one penalty suits features of any scale.
    train_ND = (train_ND - centre_D) / scale_D
    best: dict[Split, Metrics] = {}
    for penalty in PENALTIES:
        weight_KD, bias_K = _fit(objective, task, train_ND, penalty)
        found: dict[Split, Metrics] = {}
        splits: tuple[Split, ...] = ("val", "test")
        for split in splits:
            examples = task.split(split)
            if examples:
                x_ND = (_rows(means_ND, examples) - centre_D) / scale_D
                predicted_NK = objective.activate(x_ND @ weight_KD.T + bias_K)
                found[split] = measure(
                    task.kind, predicted_NK.numpy(), [e.target for e in examples]
                )
        # The test split is only reported, never used for a choice.
        if not best or _score(found["val"]) > _score(best["val"]):
            best = found
    return best


def _score(metrics: Metrics) -> tuple[float, float]:
    return metrics.score, -metrics.loss


def _rows(means_ND: npt.NDArray[np.float32], examples: Sequence[Example]) -> Tensor:
    return torch.from_numpy(means_ND[[e.video for e in examples]])


def _fit(objective: Objective, task: Task, x_ND: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Fit weights [K, D] and bias [K] by L-BFGS from zero: the loss is convex."""
    weight_KD = torch.zeros(task.outputs, x_ND.shape[1], requires_grad=True)
    bias_K = torch.zeros(task.outputs, requires_grad=True)
    targets = [e.target for e in task.train]
    optimizer = torch.optim.LBFGS(
        [weight_KD, bias_K], max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = objective.loss(x_ND @ weight_KD.T + bias_K, targets)
        loss = loss + penalty * weight_KD.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight_KD.detach(), bias_K.detach()
