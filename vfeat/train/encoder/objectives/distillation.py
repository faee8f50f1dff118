"""Self-distillation: a smaller trained model keeps a larger one from overfitting.

Source: Li et al., "VideoMamba", 2024, section 3.3; the official `engine_distill.py`.
"""

from __future__ import annotations

import torch.nn.functional as F

from vfeat.models.distilled import Student
from vfeat.train.encoder.objectives.base import Losses, Objective, TrainBatch, alignment_loss, given
from vfeat.train.encoder.objectives.teacher import Teacher


class Distillation(Objective):
    """Cross-entropy, and beside it the distance of all tokens from a frozen teacher's.

    Args:
        student: network with a projection to the teacher's width.
        weight: weight of the distance; 1 in the official code.
    """

    model: Student

    def __init__(
        self, student: Student, teacher: Teacher, weight: float, label_smoothing: float
    ) -> None:
        super().__init__(student)
        self.teacher = teacher
        self.weight, self.label_smoothing = weight, label_smoothing

    def forward(self, batch: TrainBatch) -> Losses:
        logits_BK, tokens_BLC = self.model.forward_student(batch.video_BCTSS)
        wanted_BLC = self.teacher(batch.video_BCTSS).tokens_BLC
        classification = F.cross_entropy(
            logits_BK.float(), batch.target_BK, label_smoothing=self.label_smoothing
        )
        distillation = alignment_loss(tokens_BLC, wanted_BLC)
        by_name = {
            "loss": classification + self.weight * distillation,
            "classification": classification,
            "distillation": distillation,
        }
        return Losses(by_name, given(logits_BK, batch))
