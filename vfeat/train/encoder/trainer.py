"""One encoder in training: objective, optimizer, averaged weights, and all of it as a state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from vfeat.errors import JobError
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models.videomamba import Block, Trunk
from vfeat.train.encoder.data.augment import Augment
from vfeat.train.encoder.data.epoch_order import Pick
from vfeat.train.encoder.objectives.base import Losses, Objective
from vfeat.train.encoder.objectives.optical_flow import FlowTable
from vfeat.train.encoder.optimizer import (
    averaged,
    learning_rate,
    parameter_groups,
    set_learning_rate,
)
from vfeat.train.encoder.peers import Peers
from vfeat.train.seeds import draw, seeded


@dataclass(frozen=True)
class Taken:
    """Result of one step.

    Attributes:
        losses: means over the whole batch, by name.
        clips: number of clips of the whole batch; 0 if none could be read and nothing was done.
        given: predicted probability of the label of each clip in this process, by row of the list;
            empty if the objective does not classify.
    """

    losses: dict[str, float]
    clips: int
    given: dict[int, float] = field(default_factory=dict)


class EncoderTrainer:
    """Trainer of an encoder, one step at a time.

    Args:
        objective: on its device.
        steps_per_epoch: steps of an epoch in the schedule.
        peers: the processes that take each step together.
        flow: table of optical flow, if the objective learns it.
    """

    def __init__(
        self,
        objective: Objective,
        augment: Augment,
        job: TrainEncoderJob,
        steps_per_epoch: int,
        device: torch.device,
        peers: Peers,
        flow: FlowTable | None = None,
    ) -> None:
        self.objective, self.augment, self.job, self.device = objective, augment, job, device
        self.peers, self._wrapped, self._flow = peers, peers.wrap(objective), flow
        self.steps_per_epoch = steps_per_epoch
        self._shape = (1, job.num_frames, job.size, job.size, 3)
        depth = regularise(objective.model, job)
        self.optimizer = torch.optim.AdamW(parameter_groups(objective, job, depth), lr=job.lr)
        self.average = averaged(objective.model, job.ema_decay) if job.ema_decay else None

    @property
    def model(self) -> Trunk:
        """The network that is measured and saved: the averaged weights if they are kept."""
        if self.average is None:
            return self.objective.model
        return cast(Trunk, self.average.module)

    def step(
        self, frames_BTSSC: Tensor, picks: tuple[Pick, ...], epoch: int, step: int,
        steps: int | None = None,
    ) -> Taken:  # fmt: skip
        """Take one step, together with all peers.

        Its randomness and its learning rate depend on its position only.

        Args:
            frames_BTSSC: uint8; this process's part of the batch, perhaps empty.
            picks: the clips of the frames.
            epoch, step: from 1, and from 0 within the epoch.
            steps: steps of this epoch; fewer than the schedule's if videos are skipped.

        Raises:
            JobError: the loss or the gradient is not a finite number; the weights are as they were
                before the step.
        """
        clips = round(self.peers.total([len(picks)])[0])
        if not clips:
            return Taken({}, 0)
        self.objective.train()
        whole = self.steps_per_epoch
        place = (epoch - 1) * whole + step * whole / (steps or whole)
        set_learning_rate(self.optimizer, learning_rate(self.job, place, self.steps_per_epoch))
        # Peers draw other numbers for their own parts; the first as if it were alone.
        name: tuple[object, ...] = (self.job.seed, "step", epoch, step)
        name = name if self.peers.is_leader else (*name, self.peers.rank)
        with seeded(draw(*name), self.device):
            losses, given = self._backward(frames_BTSSC, picks, len(picks) / clips)
        parameters = [p for p in self.objective.parameters() if p.requires_grad]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.job.clip_norm))
        self._check(losses["loss"], norm, epoch, step)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.objective.model)
        rows = [pick.row for pick in picks]
        return Taken({**losses, "gradient_norm": norm}, clips, dict(zip(rows, given, strict=False)))

    def _backward(
        self, frames_BTSSC: Tensor, picks: tuple[Pick, ...], share: float
    ) -> tuple[dict[str, float], list[float]]:
        """Compute the gradients; return losses, and the probability of each clip's label.

        Args:
            share: share of the batch's clips that are in this process.
        """
        labels, seeds = [pick.label for pick in picks], [pick.seed for pick in picks]
        if not picks:  # the others wait for this one's gradients: of a black clip, times zero
            frames_BTSSC, labels, seeds = frames_BTSSC.new_zeros(self._shape), [0], [0]
        flow = None if self._flow is None else self._flow.of(picks)
        if flow is not None and not picks:
            flow = flow.new_full((1, *flow.shape[1:]), torch.nan)
        batch = self.augment(frames_BTSSC.to(self.device, non_blocking=True), labels, seeds, flow)
        self.optimizer.zero_grad(set_to_none=True)
        with products(self.job, self.device):
            with autocast(self.job, self.device):
                losses, given_B = cast(Losses, self._wrapped(batch))
            # Peers' gradients are averaged; so weighted, it is over clips, whatever the parts.
            torch.autograd.backward(losses["loss"] * share * self.peers.count)
        sums = self.peers.total([float(loss.detach()) * share for loss in losses.values()])
        given = [] if given_B is None else given_B.tolist()
        return dict(zip(losses, sums, strict=True)), given

    def _check(self, loss: float, norm: float, epoch: int, step: int) -> None:
        for what, value in (("loss", loss), ("norm of the gradient", norm)):
            if not math.isfinite(value):
                raise JobError(
                    f"the {what} became {value} in epoch {epoch}, step {step + 1} of "
                    f"{self.steps_per_epoch}. What was kept before it stays in "
                    f"{self.job.out}. Try a lower --lr, more --warmup-epochs, a lower --clip-norm "
                    "or --no-bf16, in another --out"
                )

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on: tensors and plain data."""
        return {
            "model": self.objective.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore the trainer from `state`."""
        self.objective.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])


def regularise(model: nn.Module, job: TrainEncoderJob) -> int:
    """Set drop path, growing with depth, and activation checkpoints.

    Returns:
        Number of blocks.
    """
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    for place, block in enumerate(blocks):
        block.drop_path = job.drop_path * place / max(1, len(blocks) - 1)
        block.checkpointed = job.checkpoint_activations
    return len(blocks)


@contextmanager
def products(job: TrainEncoderJob, device: torch.device) -> Iterator[None]:
    """Let oneDNN multiply float32 matrices as bfloat16, forward and backward, if the job allows it.

    This applies to a CPU that has instructions for it. Without AMX it multiplies in float32, and is
    still faster than the library that torch uses otherwise.
    """
    wanted = job.bf16_products and device.type == "cpu" and has_bf16()
    backends: list[Any] = []
    if wanted:  # a torch that is older than these settings has none of them
        found = (getattr(torch.backends.mkldnn, name, None) for name in ("matmul", "conv"))
        backends = [backend for backend in found if hasattr(backend, "fp32_precision")]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "bf16"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def has_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 natively (AVX512_BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(job: TrainEncoderJob, device: torch.device) -> torch.autocast:
    """Use bfloat16 on a GPU if the job allows it; float32 on a CPU."""
    on = job.bf16 and device.type == "cuda"
    return torch.autocast(device.type, torch.bfloat16, enabled=on)
