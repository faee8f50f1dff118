"""Loss of a task, and the meaning of its logits.

Shape legend: B sequences, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vfeat.job.train_head import ClassWeights
from vfeat.train.task import Target, Task, present_classes


class Objective:
    """Loss and activation of one task, on one device."""

    def __init__(self, task: Task, weights: ClassWeights, device: torch.device) -> None:
        self._task = task
        self._device = device
        self._weight_K = _class_weights(task).to(device) if weights == "balanced" else None

    def loss(self, logits_BK: Tensor, targets: Sequence[Target]) -> Tensor:
        """Compute the mean loss, in float32."""
        wanted = self.encode(targets).to(self._device)
        logits_BK = logits_BK.float()
        if self._task.kind == "classification":
            return F.cross_entropy(logits_BK, wanted, self._weight_K)
        if self._task.kind == "multilabel":
            return F.binary_cross_entropy_with_logits(logits_BK, wanted, pos_weight=self._weight_K)
        return F.mse_loss(logits_BK[:, 0], wanted)

    def activate(self, logits_BK: Tensor) -> Tensor:
        """Return probabilities, or values in the labels' own units; float64."""
        logits_BK = logits_BK.double()
        if self._task.kind == "classification":
            return logits_BK.softmax(1)
        if self._task.kind == "multilabel":
            return logits_BK.sigmoid()
        return logits_BK * self._task.scale + self._task.centre

    def encode(self, targets: Sequence[Target]) -> Tensor:
        """Encode as class numbers [B], multi-hot [B, K], or centred and scaled values [B]."""
        if self._task.kind == "classification":
            return torch.tensor(targets, dtype=torch.int64)
        if self._task.kind == "multilabel":
            hot_BK = torch.zeros(len(targets), self._task.outputs)
            for row, target in enumerate(targets):
                hot_BK[row, list(present_classes(target))] = 1.0
            return hot_BK
        values_B = torch.tensor(targets, dtype=torch.float64)
        return ((values_B - self._task.centre) / self._task.scale).float()


def _class_weights(task: Task) -> Tensor:
    """Compute class weights of the training split.

    They are inverse shares of mean 1 or, for a multilabel task, negatives over positives. A class
    without a training video has weight 1: it never enters a loss.
    """
    counts_K = torch.zeros(task.outputs)
    for example in task.train:
        counts_K[list(present_classes(example.target))] += 1
    there_K = counts_K.clamp(min=1)
    if task.kind == "multilabel":
        weight_K = (len(task.train) - counts_K).clamp(min=1) / there_K
    else:
        weight_K = len(task.train) / (there_K * max(1, int((counts_K > 0).sum())))
    return torch.where(counts_K > 0, weight_K, torch.ones(()))
