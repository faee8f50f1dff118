"""Metrics of predictions, per video.

Shape legend: N videos, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vfeat.job.recipe import HeadKind
from vfeat.train.task import Target, present_classes

Floats = npt.NDArray[np.float64]
_TINY = 1e-12


@dataclass(frozen=True)
class Metrics:
    """Metrics of one split; None where the kind of task has no such metric.

    Attributes:
        videos: how many were counted.
        loss: mean negative log-likelihood, or mean squared error.
        top1: share of videos whose best class is right.
        mean_ap: mean over classes with a positive video of the average precision.
        mse: mean squared error, in the labels' own units.
        confusion: [true class][predicted class], videos.
        average_precision: of each class; None for a class without a positive video.
        recall: of retrieval, by direction and then by name; `top1` is then the mean R@1.
    """

    videos: int
    loss: float
    top1: float | None = None
    mean_ap: float | None = None
    mse: float | None = None
    confusion: list[list[int]] | None = None
    average_precision: list[float | None] | None = None
    recall: dict[str, dict[str, float]] | None = None

    @property
    def score(self) -> float:
        """Score that selects the best epoch; higher is better."""
        if self.mse is not None:
            return -self.mse
        return (self.top1 if self.top1 is not None else self.mean_ap) or 0.0

    def headline(self) -> tuple[str, float]:
        """Return name and value of the main metric."""
        if self.mse is not None:
            return "mse", self.mse
        if self.recall is not None:
            return "R@1", self.top1 or 0.0
        name, value = ("top-1", self.top1) if self.top1 is not None else ("mAP", self.mean_ap)
        return name, value or 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the fields that the kind of task has."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def measure(kind: HeadKind, predicted_NK: Floats, targets: Sequence[Target]) -> Metrics:
    """Compute the metrics of per-video predictions: probabilities, or values [N, 1]."""
    if kind == "regression":
        error = float(np.mean((predicted_NK[:, 0] - np.array(targets, np.float64)) ** 2))
        return Metrics(len(targets), error, mse=error)
    if kind == "classification":
        return _classified(predicted_NK, np.array(targets, np.int64))
    truth_NK = np.zeros(predicted_NK.shape, np.bool_)
    for row, target in enumerate(targets):
        truth_NK[row, list(present_classes(target))] = True
    return _labelled(predicted_NK, truth_NK)


def average_precision(scores_N: Floats, truth_N: npt.NDArray[np.bool_]) -> float | None:
    """Compute the mean precision at the rank of each positive; equal scores rank together."""
    if not truth_N.any():
        return None
    order = np.argsort(-scores_N, kind="stable")
    scores_N, truth_N = scores_N[order], truth_N[order]
    last = np.r_[np.flatnonzero(np.diff(scores_N)), len(scores_N) - 1]  # of each run of equals
    hits = np.cumsum(truth_N)[last]
    return float(np.sum(np.diff(hits, prepend=0) * hits / (last + 1)) / truth_N.sum())


def _classified(predicted_NK: Floats, truth_N: npt.NDArray[np.int64]) -> Metrics:
    count, classes = predicted_NK.shape
    best_N = predicted_NK.argmax(1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (truth_N, best_N), 1)
    likelihood = predicted_NK[np.arange(count), truth_N]
    return Metrics(
        count,
        float(-np.log(np.maximum(likelihood, _TINY)).mean()),
        top1=float((best_N == truth_N).mean()),
        confusion=confusion.tolist(),
    )


def _labelled(predicted_NK: Floats, truth_NK: npt.NDArray[np.bool_]) -> Metrics:
    likelihood = np.where(truth_NK, predicted_NK, 1 - predicted_NK)
    each = [average_precision(p, t) for p, t in zip(predicted_NK.T, truth_NK.T, strict=True)]
    there = [value for value in each if value is not None]
    return Metrics(
        len(truth_NK),
        float(-np.log(np.maximum(likelihood, _TINY)).mean()),
        mean_ap=float(np.mean(there)) if there else 0.0,
        average_precision=each,
    )
