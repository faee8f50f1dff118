"""One head in training: network, optimizer, schedule, history, and all of it as a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.job.train_head import TrainHeadJob
from vfeat.models import ViS4mer, create_model
from vfeat.train.head.feed import Batch
from vfeat.train.head.objective import Objective
from vfeat.train.metrics import Metrics
from vfeat.train.seeds import draw, seeded
from vfeat.train.task import Target, Task


@dataclass(frozen=True)
class Epoch:
    """One line of the history.

    Attributes:
        epoch: number of the epoch, from 1.
        train_loss: mean over the epoch's steps, weighted by their windows.
        val_loss, val_score: results on the validation split; a higher score is better.
        lr, s4_lr: learning rates that the epoch was trained with.
        best: no earlier epoch had a better score.
        seconds: since the last epoch ended, all heads together.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_score: float
    lr: float
    s4_lr: float
    best: bool
    seconds: float


class HeadTrainer:
    """Training of one task's network.

    Args:
        l_max: steps that the S4 kernels are made for.
        width: D of the features.
    """

    def __init__(
        self, task: Task, job: TrainHeadJob, width: int, l_max: int, device: torch.device
    ) -> None:
        self.task, self.job, self.device = task, job, device
        least = 2**job.n_layers
        with seeded(draw(job.seed, task.name, "init"), device):
            self.model: ViS4mer = create_model(
                "vis4mer",
                d_input=width,
                l_max=max(least, l_max),
                d_output=task.outputs,
                d_model=job.d_model or max(least, width),
                n_layers=job.n_layers,
                dropout=job.dropout,
                kernel=job.kernel,
            ).to(device)
        self.objective = Objective(task, job.class_weights, device)
        groups = self.model.parameter_groups(job.lr, job.s4_lr, job.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=job.lr)
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, factor=job.plateau_factor, patience=job.plateau_patience - 1
        )
        self.history: list[Epoch] = []
        self.best_state: dict[str, Tensor] = {}
        self._loss_sum, self._windows, self._steps = 0.0, 0, 0
        self._began_s = time.monotonic()

    @property
    def best_epoch(self) -> int:
        """Number of the epoch whose weights are kept; 0 before the first."""
        return max((line.epoch for line in self.history if line.best), default=0)

    @property
    def stopped(self) -> bool:
        """True if nothing got better for `patience` epochs."""
        done = self.history[-1].epoch if self.history else 0
        return done - self.best_epoch >= self.job.patience

    def step(self, batch: Batch, targets: Sequence[Target], epoch: int) -> None:
        """Take one step of the optimizer. Its randomness depends on its position only.

        Args:
            batch: windows of several videos.
            targets: label of each window.
            epoch: number of the epoch, from 1.

        Raises:
            JobError: the loss is not finite.
        """
        self.model.train()
        self._steps += 1
        name = (self.job.seed, self.task.name, "step", epoch, self._steps)
        with seeded(draw(*name), self.device):
            with self._autocast():
                logits_BK = self.model(batch.values_BLD, batch.mask_BL)
            # Outside autocast: the loss is computed in float32.
            loss = self.objective.loss(logits_BK, targets)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.job.clip_norm)
        self.optimizer.step()
        value = float(loss.detach())
        if value != value or abs(value) == float("inf"):
            raise JobError(
                f"task {self.task.name}: the loss became {value} in epoch {epoch}, step "
                f"{self._steps}; try a lower --lr or --s4-lr"
            )
        self._loss_sum += value * len(targets)
        self._windows += len(targets)

    def predict(self, batch: Batch) -> Tensor:
        """Predict probabilities or values of each sequence, float64 [B, K] on the CPU."""
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            logits_BK = self.model(batch.values_BLD, batch.mask_BL)
        return self.objective.activate(logits_BK).cpu()

    def end_epoch(self, epoch: int, val: Metrics) -> Epoch:
        """Record the epoch, keep the weights if they are the best, update the learning rates."""
        best = max(((h.val_score, -h.val_loss) for h in self.history), default=None)
        is_best = best is None or (val.score, -val.loss) > best
        if is_best:
            # Copied to the CPU: the parameters change in place with the next step.
            self.best_state = {
                key: value.detach().cpu().clone() for key, value in self.model.state_dict().items()
            }
        now_s = time.monotonic()
        rates = [group["lr"] for group in self.optimizer.param_groups]
        line = Epoch(
            epoch,
            self._loss_sum / max(1, self._windows),
            val.loss,
            val.score,
            rates[0],
            rates[-1],
            is_best,
            now_s - self._began_s,
        )
        self.history.append(line)
        self.schedule.step(val.loss)
        self._loss_sum, self._windows, self._steps, self._began_s = 0.0, 0, 0, now_s
        return line

    def keep_best(self) -> None:
        """Restore the weights of the best epoch."""
        self.model.load_state_dict(self.best_state)

    def state(self) -> dict[str, Any]:
        """Return everything that the next epoch depends on: tensors and plain data."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": self.best_state,
            "history": [asdict(line) for line in self.history],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore the trainer from `state`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.best_state = state["best"]
        names = [field.name for field in fields(Epoch)]
        self.history = [Epoch(**{name: line[name] for name in names}) for line in state["history"]]

    def _autocast(self) -> torch.autocast:
        on = self.job.bf16 and self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on)
