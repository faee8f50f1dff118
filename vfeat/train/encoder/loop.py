"""Epoch loop: learn, validate, keep the best weights, record; and stop on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from vfeat.errors import Interrupted
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.train.encoder.data.clip_list import Sample
from vfeat.train.encoder.data.epoch_order import Group, Pick, train_groups
from vfeat.train.encoder.data.feed import RawBatch
from vfeat.train.encoder.data.footage import Footage
from vfeat.train.encoder.data.prefetch import Prefetch
from vfeat.train.encoder.history import EpochLine, Progress
from vfeat.train.encoder.optimizer import learning_rate
from vfeat.train.encoder.peers import Peers
from vfeat.train.encoder.trainer import Taken
from vfeat.train.encoder.watch import EncoderWatch, Phase
from vfeat.train.metrics import Metrics


class Trainer(Protocol):
    """Network in training, as the loop takes it: one step at a time.

    Attributes:
        peers: the processes that take each step together.
        steps_per_epoch: steps of an epoch in the schedule.
    """

    peers: Peers
    steps_per_epoch: int

    @property
    def model(self) -> Any:
        """The network that is measured."""

    @property
    def objective(self) -> Any:
        """What is minimised; `classifies` is True if the evaluator measures metrics of it."""

    def step(
        self, frames: Tensor, picks: tuple[Pick, ...], epoch: int, step: int, steps: int
    ) -> Taken:
        """Take one step."""


class Measure(Protocol):
    """Evaluator of networks over a split."""

    def metrics(
        self, model: Any, footage: Sequence[Footage], phase: Phase, epoch: int,
        watch: EncoderWatch,
    ) -> Metrics | None:  # fmt: skip
        """Compute the metrics of a network; None when no video yields a clip."""

    def losses(
        self, objective: Any, footage: Sequence[Footage], phase: Phase, epoch: int,
        watch: EncoderWatch,
    ) -> dict[str, float]:  # fmt: skip
        """Average the losses of an objective that has no metrics."""


class Feed(Protocol):
    """Source of clips."""

    def batches(self, groups: Sequence[Group]) -> Iterator[RawBatch]:
        """Yield one batch for each group, in order."""


@dataclass(frozen=True)
class LoopCallbacks:
    """Callbacks with which the loop saves its results.

    Attributes:
        checkpoint: saves the trainer's state and the progress.
        best: called when the trainer's model is the best so far.
        written: called after each epoch, with the complete progress.
    """

    checkpoint: Callable[[Progress], None]
    best: Callable[[], None]
    written: Callable[[Progress], None]


class Loop:
    """A training from the position of `progress` to its last epoch.

    Args:
        train: samples of the training split, in the list's order.
        val: footage of the validation split.
        footage: footage of all samples that can be read, by row.
    """

    def __init__(
        self,
        job: TrainEncoderJob,
        trainer: Trainer,
        feed: Feed,
        evaluator: Measure,
        train: Sequence[Sample],
        val: Sequence[Footage],
        footage: Mapping[int, Footage],
        watch: EncoderWatch,
    ) -> None:
        self.job, self.trainer, self.feed, self.evaluator = job, trainer, feed, evaluator
        self.train, self.val, self.footage, self.watch = train, val, footage, watch
        self.peers = trainer.peers

    def run(self, progress: Progress, keep: LoopCallbacks) -> None:
        """Learn all remaining epochs.

        Raises:
            Interrupted: the watch asked to stop; a checkpoint is kept.
            JobError: the loss is not finite any more, or too many videos are broken.
        """
        while progress.epoch <= self.job.epochs:
            self._learn(progress, keep)
            try:
                line = self._line(progress)
            except Interrupted:
                keep.checkpoint(progress)  # all steps are done; going on begins by validating
                raise
            if line.best:
                keep.best()
            # Before the checkpoint, so that a resumed run does not repeat the finished epoch.
            progress.next_epoch(line)
            keep.checkpoint(progress)
            self.watch.epoch_ended(line)
            keep.written(progress)

    def _learn(self, progress: Progress, keep: LoopCallbacks) -> None:
        """Learn the rest of an epoch."""
        groups = train_groups(self.train, self.footage, self.job, progress.epoch, progress.known)
        total, done = sum(map(len, groups)), sum(map(len, groups[: progress.step]))
        began_s = saved_s = time.monotonic()
        seconds, waited_s = progress.seconds, progress.waited_s
        # All groups are drawn, also after a resume, so that the order does not depend on the cut.
        mine = [self.peers.share(group) for group in groups[progress.step :]]
        with Prefetch(self.feed.batches(mine)) as batches:
            for raw in batches:
                group = groups[progress.step]
                taken = self.trainer.step(
                    raw.frames_BVTSSC[:, 0], raw.picks, progress.epoch, progress.step, len(groups)
                )
                progress.add(taken.losses, taken.clips)
                if self.job.rest:
                    progress.given |= self._given(group, taken)
                done += taken.clips
                now_s = time.monotonic()
                progress.seconds = seconds + now_s - began_s
                progress.waited_s = waited_s + batches.waited_s
                loss = progress.means().get("loss", 0.0)
                self.watch.advanced("train", progress.epoch, done, total, loss)
                # Collective: all processes must leave the epoch after the same step.
                if self.peers.any(self.watch.stopping()):
                    keep.checkpoint(progress)
                    raise Interrupted(
                        f"stopped in epoch {progress.epoch}, after step {progress.step} of "
                        f"{len(groups)}; a checkpoint is kept in {self.job.out}"
                    )
                if now_s - saved_s > 60 * self.job.checkpoint_minutes:
                    keep.checkpoint(progress)
                    saved_s = now_s

    def _given(self, group: Group, taken: Taken) -> dict[int, float]:
        """Gather the predicted probability of each label of a batch from all processes."""
        rows = [pick.row for pick in group]
        return dict(
            zip(rows, self.peers.total([taken.given.get(r, 0.0) for r in rows]), strict=True)
        )

    def _line(self, progress: Progress) -> EpochLine:
        """Build the epoch's line; validate if the epoch is due for it."""
        job, epoch = self.job, progress.epoch
        val, val_losses = None, None
        if self.val and (epoch % job.eval_every == 0 or epoch == job.epochs):
            objective = self.trainer.objective
            if objective.classifies:
                val = self.evaluator.metrics(self.trainer.model, self.val, "val", epoch, self.watch)
            else:
                val_losses = self.evaluator.losses(objective, self.val, "val", epoch, self.watch)
        line = EpochLine(
            epoch,
            progress.means(),
            learning_rate(
                job, epoch * self.trainer.steps_per_epoch - 1, self.trainer.steps_per_epoch
            ),
            progress.clips,
            progress.seconds,
            progress.waited_s / max(progress.seconds, 1e-9),
            val,
            val_losses,
        )
        keep = job.keep if self.val else "last"  # without validation epochs have no score
        return replace(line, best=progress.is_best(line, keep))
