"""A network of clips and words in training: one step at a time, and all of it as a state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.job.train_retrieval import TrainRetrievalJob
from vfeat.models.videomamba import Block
from vfeat.train.encoder.data.augment import Augment
from vfeat.train.encoder.data.clip_list import UNLABELLED
from vfeat.train.encoder.data.epoch_order import Pick
from vfeat.train.encoder.optimizer import learning_rate, parameter_groups, set_learning_rate
from vfeat.train.encoder.peers import Peers
from vfeat.train.encoder.trainer import Taken, autocast, products
from vfeat.train.retrieval.captions import CaptionBatch, CaptionTokens
from vfeat.train.retrieval.objective import RetrievalBatch, RetrievalObjective
from vfeat.train.seeds import draw, seeded

LEAST_PAIRS = 2  # a clip without another one in its batch has nothing to be told from
LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.001, 0.5

Prepare = Callable[[Tensor, Sequence[Pick]], Tensor]
"""Turns what the feed gave, and its picks, into what the network takes."""


class RetrievalTrainer:
    """Trainer of clips and words, as the loop of `train/encoder` takes it.

    Args:
        objective: on its device.
        tokens: captions of all rows.
        prepare: see `Prepare`.
        steps_per_epoch: steps of an epoch in the schedule.
    """

    def __init__(
        self, objective: RetrievalObjective, tokens: CaptionTokens, prepare: Prepare,
        job: TrainRetrievalJob, steps_per_epoch: int, device: torch.device,
    ) -> None:  # fmt: skip
        self.objective, self.tokens, self.device = objective, tokens, device
        self.steps_per_epoch, self.peers = steps_per_epoch, Peers()
        self._job, self._prepare = job.as_encoder_job, prepare
        blocks = [module for module in objective.modules() if isinstance(module, Block)]
        for block in blocks:
            block.checkpointed = job.checkpoint_activations
        groups = parameter_groups(objective, self._job, len(blocks))
        self.optimizer = torch.optim.AdamW(groups, lr=job.lr)

    @property
    def model(self) -> RetrievalObjective:
        """What is measured: the objective, which holds the network."""
        return self.objective

    def step(
        self, frames: Tensor, picks: tuple[Pick, ...], epoch: int, step: int, steps: int
    ) -> Taken:
        """Take one step; its randomness and learning rate depend on its position only.

        Args:
            frames: what the feed gave, perhaps empty.
            picks: the clips of the frames.
            epoch, step: from 1, and from 0 within the epoch.
            steps: steps of this epoch.

        Raises:
            JobError: the loss or the gradient is not a finite number; the weights are as they were
                before the step.
        """
        if len(picks) < LEAST_PAIRS:
            return Taken({}, 0)
        self.objective.train()
        place = (epoch - 1) * self.steps_per_epoch + step
        set_learning_rate(self.optimizer, learning_rate(self._job, place, self.steps_per_epoch))
        with seeded(draw(self._job.seed, "step", epoch, step), self.device):
            losses = self._backward(frames, picks)
        parameters = [p for p in self.objective.parameters() if p.requires_grad]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._job.clip_norm))
        self._check(losses["loss"], norm, epoch, step, steps)
        self.optimizer.step()
        with torch.no_grad():
            temp = self.objective.model.temp.clamp_(LEAST_TEMPERATURE, MOST_TEMPERATURE)
        found = {**losses, "temperature": float(temp.detach()), "gradient_norm": norm}
        return Taken(found, len(picks))

    def batch(self, frames: Tensor, picks: Sequence[Pick]) -> RetrievalBatch:
        """Return the clips of a step or an evaluation with their captions, on the device."""
        captions = self.tokens.of([pick.row for pick in picks])
        moved = CaptionBatch(*(t.to(self.device) for t in vars(captions).values()))
        clips = self._prepare(frames.to(self.device, non_blocking=True), picks)
        return RetrievalBatch(clips, moved, clip_numbers(picks).to(self.device))

    def _backward(self, frames: Tensor, picks: Sequence[Pick]) -> dict[str, float]:
        batch = self.batch(frames, picks)
        self.optimizer.zero_grad(set_to_none=True)
        with products(self._job, self.device):
            with autocast(self._job, self.device):
                losses: dict[str, Tensor] = self.objective(batch)
            torch.autograd.backward(losses["loss"])
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _check(self, loss: float, norm: float, epoch: int, step: int, steps: int) -> None:
        for what, value in (("loss", loss), ("norm of the gradient", norm)):
            if not math.isfinite(value):
                raise JobError(
                    f"the {what} became {value} in epoch {epoch}, step {step + 1} of {steps}. What "
                    f"was kept before it stays in {self._job.out}. Try a lower --lr, more "
                    "--warmup-epochs, a lower --clip-norm or --no-bf16, in another --out"
                )

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on: tensors and plain data."""
        model = self.objective.model.state_dict()
        return {"model": model, "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore the trainer from `state`."""
        self.objective.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def clip_numbers(picks: Sequence[Pick]) -> Tensor:
    """Number the clips of a batch: equal numbers are the same clip of the same video."""
    keys = [(pick.footage.sample.video.read_from, pick.clip_index) for pick in picks]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return torch.tensor([numbers[key] for key in keys], dtype=torch.int64)


class Pixels:
    """Preparation of decoded frames: augmentation in training, normalisation always.

    Args:
        job: settings of the training.
        training: augment.
    """

    def __init__(self, job: TrainRetrievalJob) -> None:
        self._augment = Augment(job.as_encoder_job, (UNLABELLED,))

    def __call__(self, frames_BTSSC: Tensor, picks: Sequence[Pick]) -> Tensor:
        """Return float32 BCTSS."""
        seeds = [pick.seed for pick in picks]
        return self._augment(frames_BTSSC, [0] * len(picks), seeds).video_BCTSS


def unchanged(vectors_BP: Tensor, picks: Sequence[Pick]) -> Tensor:
    """Return vectors of frozen clips as they are."""
    return vectors_BP
