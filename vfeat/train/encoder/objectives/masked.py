"""Masked pre-training: predict a teacher's tokens from few visible ones.

No label is read. Source: Li et al., "VideoMamba", 2024, section 3.3; the official
`engine_for_pretraining_videomamba.py`.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from vfeat.errors import JobError
from vfeat.job.train_encoder import MaskKind
from vfeat.models.masked import MaskedVideoMamba, visible
from vfeat.train.encoder.objectives.base import Losses, Objective, TrainBatch, alignment_loss
from vfeat.train.encoder.objectives.masks import attention_mask, random_mask, tube_mask
from vfeat.train.encoder.objectives.teacher import Teacher, View


class MaskedPretraining(Objective):
    """Distance of the visible tokens from those of a frozen teacher that gets the whole clip."""

    model: MaskedVideoMamba
    classifies: ClassVar[bool] = False

    def __init__(
        self, model: MaskedVideoMamba, teacher: Teacher, kind: MaskKind, ratio: float
    ) -> None:
        super().__init__(model)
        self.teacher = teacher
        self.kind, self.ratio = kind, ratio

    def forward(self, batch: TrainBatch) -> Losses:
        view = self.teacher(batch.video_BCTSS)
        mask_BL = self._mask(view)
        tokens_YBVC = self.model(batch.video_BCTSS, mask_BL)
        return Losses({"loss": alignment_loss(tokens_YBVC, visible(view.tokens_BLC, mask_BL))})

    def _mask(self, view: View) -> Tensor:
        """Draw a new mask from torch's random state."""
        config = self.model.config
        batch, steps, patches = len(view.tokens_BLC), config.tubelets, config.grid**2
        if self.kind == "attention":
            if view.importance_BTP is None:
                raise JobError("mask_kind attention needs a teacher that gives its attention")
            return attention_mask(view.importance_BTP, self.ratio)
        draw = tube_mask if self.kind == "tube" else random_mask
        mask_BL = draw(batch, steps, patches, self.ratio)
        return mask_BL.to(view.tokens_BLC.device)
