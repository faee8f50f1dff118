"""What a training of an encoder minimises: the one place where objectives plug in.

An objective is a module that holds the network (and, where it has one, a frozen teacher) and
turns a batch into named losses. The trainer knows nothing else: it calls the module, steps
down `losses["loss"]`, and writes the means of all of them down. Being a module, it is what
DistributedDataParallel wraps; what must not learn has `requires_grad_(False)`.

To add one: subclass `Objective`, and build it in `make_objective` (`objectives.py`) by the job's
fields.

    model            the network that is trained, averaged (EMA), checkpointed and saved: its state
                     dict is the encoder's folder, and nothing outside it learns
    classifies       whether `model(video)` gives logits; validation then counts right answers,
                     and the best epoch is the one with most of them; otherwise the one with the
                     lowest mean of `losses["loss"]` over the validation clips
    forward(batch)   losses by name, each a mean over the batch's clips (scalars); in training
                     and, under no_grad and in eval mode, in the validation of an objective
                     that does not classify. Random numbers come from torch's generator, which
                     the trainer seeds for each step, so that a resumed run draws the same

Shape legend: B clips, C colours, T frames, S side in pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.models import VideoMamba
from vfeat.models.videomamba import Trunk


@dataclass(frozen=True)
class TrainBatch:
    """Clips as the network takes them, on its device.

    Attributes:
        video_BCTSS: normalised, float32, augmented in training.
        target_BK: probabilities of the classes, float32; one-hot unless clips were mixed.
    """

    video_BCTSS: Tensor
    target_BK: Tensor


class Objective(nn.Module):
    """See the top of this file."""

    model: Trunk
    classifies: ClassVar[bool] = True

    def __init__(self, model: Trunk) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: TrainBatch) -> dict[str, Tensor]:
        """Losses by name; `loss` is minimised, the others are told."""
        raise NotImplementedError


class Classification(Objective):
    """Cross-entropy with smoothed labels."""

    model: VideoMamba

    def __init__(self, model: VideoMamba, label_smoothing: float) -> None:
        super().__init__(model)
        self.label_smoothing = label_smoothing

    def forward(self, batch: TrainBatch) -> dict[str, Tensor]:
        logits_BK = self.model(batch.video_BCTSS).float()
        loss = F.cross_entropy(logits_BK, batch.target_BK, label_smoothing=self.label_smoothing)
        return {"loss": loss}
