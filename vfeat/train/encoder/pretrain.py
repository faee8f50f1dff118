"""Masked pre-training: from few visible tokens to what a teacher makes of all of them.

No label is read. Source: Li et al., "VideoMamba", 2024, section 3.3; the official
`engine_for_pretraining_videomamba.py`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.models.masked import MaskedVideoMamba, visible
from vfeat.train.encoder.alignment import alignment_loss
from vfeat.train.encoder.masks import MaskKind, attention_mask, random_mask, tube_mask
from vfeat.train.encoder.objective import Objective, TrainBatch
from vfeat.train.encoder.teacher import Teacher, View


class MaskedPretraining(Objective):
    """The distance of the visible tokens from a frozen teacher's, which sees the whole clip."""

    model: MaskedVideoMamba
    classifies: ClassVar[bool] = False

    def __init__(
        self, model: MaskedVideoMamba, teacher: Teacher, kind: MaskKind, ratio: float
    ) -> None:
        super().__init__(model)
        self.teacher = teacher
        self.kind, self.ratio = kind, ratio

    def forward(self, batch: TrainBatch) -> dict[str, Tensor]:
        view = self.teacher(batch.video_BCTSS)
        mask_BL = self._mask(view)
        tokens_YBVC = self.model(batch.video_BCTSS, mask_BL)
        return {"loss": alignment_loss(tokens_YBVC, visible(view.tokens_BLC, mask_BL))}

    def _mask(self, view: View) -> Tensor:
        """Drawn anew in each step; in validation the same ones every time, to be compared."""
        generator = None if self.training else torch.Generator().manual_seed(0)
        config = self.model.config
        batch, steps, patches = len(view.tokens_BLC), config.tubelets, config.grid**2
        if self.kind == "attention":
            if view.importance_BTP is None:
                raise JobError("mask_kind attention needs a teacher that gives its attention")
            return attention_mask(view.importance_BTP, self.ratio, generator)
        draw = tube_mask if self.kind == "tube" else random_mask
        mask_BL = draw(batch, steps, patches, self.ratio, generator)
        return mask_BL.to(view.tokens_BLC.device)
