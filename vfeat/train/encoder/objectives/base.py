"""Objectives: what a training of an encoder minimises, and the interface to plug one in.

An objective is a module that holds the network (and, if it has one, a frozen teacher) and turns a
batch into `Losses`. The trainer depends on nothing else: it calls the module, steps down the loss
named `loss`, and records the means of all of them. As a module it can be wrapped by
DistributedDataParallel; parts that must not learn have `requires_grad_(False)`.

To add one: subclass `Objective`, and build it in `make_objective` (`factory.py`) from the job's
fields.

    model            the network that is trained, averaged (EMA), checkpointed and saved: its state
                     dict is the encoder's folder, and nothing outside it learns
    classifies       True if `model(video)` returns logits; validation then counts right answers,
                     and the best epoch is the one with most of them (unless `keep` is set
                     otherwise); if False, the one with the lowest mean of `loss` over the
                     validation clips
    forward(batch)   the `Losses`; in training and, under no_grad and in eval mode, in the
                     validation of an objective that does not classify. Random numbers come from
                     torch's generator, which the trainer seeds for each step, so that a resumed
                     run draws the same

Shape legend: B clips, C colours, T frames, S side in pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

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
        flow: optical flow at each token, float32 BTSS2 over tubelets and patches, NaN where
            unknown; None unless it is learnt.
    """

    video_BCTSS: Tensor
    target_BK: Tensor
    flow: Tensor | None = None


class Losses(NamedTuple):
    """An objective's result for a batch.

    Attributes:
        by_name: means over the batch's clips (scalars); `loss` is minimised, the others are only
            reported.
        given_B: predicted probability of each clip's own label, float32, without a gradient; None
            if nothing is classified.
    """

    by_name: dict[str, Tensor]
    given_B: Tensor | None = None


class Objective(nn.Module):
    """Base class of objectives; see the top of this file."""

    model: Trunk
    classifies: ClassVar[bool] = True

    def __init__(self, model: Trunk) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: TrainBatch) -> Losses:
        """Run the network on a batch."""
        raise NotImplementedError


class Classification(Objective):
    """Cross-entropy with smoothed labels, on the class token.

    With `token_loss`, an auxiliary loss on the mean-pooled tokens, through the same head; it speeds
    up training from scratch.
    """

    model: VideoMamba

    def __init__(self, model: VideoMamba, label_smoothing: float, token_loss: float = 0.0) -> None:
        super().__init__(model)
        self.label_smoothing, self.token_loss = label_smoothing, token_loss

    def forward(self, batch: TrainBatch) -> Losses:
        if not self.token_loss:
            logits_BK = self.model(batch.video_BCTSS)
            return Losses({"loss": self._loss(logits_BK, batch)}, given(logits_BK, batch))
        return self.of_tokens(self.model.forward_tokens(batch.video_BCTSS), batch)

    def of_tokens(self, tokens_BLD: Tensor, batch: TrainBatch) -> Losses:
        """Compute the losses of a forward pass; the class token is the first one."""
        logits_BK = self.model.head(tokens_BLD[:, 0])
        class_loss = self._loss(logits_BK, batch)
        mean_loss = self._loss(self.model.head(tokens_BLD[:, 1:].mean(dim=1)), batch)
        loss = class_loss + self.token_loss * mean_loss
        by_name = {"loss": loss, "class_token": class_loss, "mean_of_tokens": mean_loss}
        return Losses(by_name, given(logits_BK, batch))

    def _loss(self, logits_BK: Tensor, batch: TrainBatch) -> Tensor:
        logits_BK = logits_BK.float()
        return F.cross_entropy(logits_BK, batch.target_BK, label_smoothing=self.label_smoothing)


def given(logits_BK: Tensor, batch: TrainBatch) -> Tensor:
    """Return the predicted probability of each clip's own label.

    Returns:
        float32 [B], without a gradient.
    """
    return (logits_BK.detach().float().softmax(-1) * batch.target_BK).sum(-1)


def alignment_loss(tokens: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean of 2 - 2·cosine over all tokens: the squared distance of unit vectors.

    Args:
        tokens, wanted: vectors of length one (..., C'), C' the width of the teacher; `wanted`
            may lack leading dimensions, for several layers that are compared with one target.

    Returns:
        A float32 scalar from 0 (equal) to 4 (opposite).
    """
    cosine = (tokens.float() * wanted.float()).sum(-1)
    return (2 - 2 * cosine).mean()
