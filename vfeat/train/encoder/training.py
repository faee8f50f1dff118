"""One process of a training: everything that lives from the first probe to the last file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vfeat import ops
from vfeat.errors import Interrupted, JobError
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.kernels.heap import keep_freed_memory
from vfeat.train.encoder.data.augment import Augment
from vfeat.train.encoder.data.broken import BrokenSamples
from vfeat.train.encoder.data.clip_list import Listing
from vfeat.train.encoder.data.feed import ClipFeed
from vfeat.train.encoder.data.footage import Footage, check_parts, probe_samples
from vfeat.train.encoder.device_plan import DevicePlan
from vfeat.train.encoder.evaluate import Evaluator
from vfeat.train.encoder.history import Progress
from vfeat.train.encoder.loop import Loop, LoopCallbacks
from vfeat.train.encoder.objectives.base import Objective
from vfeat.train.encoder.objectives.factory import make_objective
from vfeat.train.encoder.objectives.optical_flow import FlowTable
from vfeat.train.encoder.peers import Peers
from vfeat.train.encoder.records import Records
from vfeat.train.encoder.store import EncoderStore, Identity
from vfeat.train.encoder.trainer import EncoderTrainer
from vfeat.train.encoder.watch import EncoderWatch
from vfeat.train.metrics import Metrics
from vfeat.train.seeds import draw, seeded
from vfeat.train.task import SPLITS, Split


class Training:
    """Training in one process; made in every process, with the same job and list.

    Args:
        watch: watch of the process that leads; the others do not report.
    """

    def __init__(
        self, job: TrainEncoderJob, listing: Listing, peers: Peers, plan: DevicePlan,
        watch: EncoderWatch,
    ) -> None:  # fmt: skip
        self.job, self.listing, self.peers, self.plan = job, listing, peers, plan
        self.watch = watch if peers.is_leader else EncoderWatch()
        self.store = EncoderStore(job.out, Identity.of(job, listing))
        samples = [s for split in SPLITS for s in listing.splits[split]]
        self.samples = sorted(samples, key=lambda sample: sample.row)
        self.broken = BrokenSamples(len(samples), job.max_broken_share)
        if plan.threads is not None:
            torch.set_num_threads(plan.threads)
        if plan.device.type == "cpu":
            keep_freed_memory()

    def run(self) -> dict[str, Any]:
        """Train from the checkpoint, or the start, to the end.

        Returns:
            The content of `metrics.json`.

        Raises:
            JobError: the list or its videos cannot be used, or the loss is not finite any more.
            Interrupted: the watch asked to stop; a checkpoint is kept.
        """
        if why_not := check_parts(self.job.clip_spec, self.samples):
            raise JobError(why_not)
        device = self.plan.device
        objective = self._objective()
        kernel = ops.choose(device.type, torch.float32).name
        self.watch.note(f"Training on {self._where()}, kernels: {kernel}.")
        pin = device.type == "cuda"
        with ClipFeed(self.job, self.broken, self.plan.decoders, pin) as feed:
            footage = self._probe(feed)
            trainer = self._trainer(objective)
            if self.peers.is_leader:
                classes = self.listing.classes if objective.classifies else ()
                self.store.begin(self.job, classes, kernel)
            progress = self._progress(trainer)
            if progress.step or progress.history:
                self.watch.note(f"Going on in epoch {progress.epoch}, step {progress.step}.")
            evaluator = Evaluator(self.job, feed, self.listing.classes, device, self.peers)
            return self._carry_out(trainer, feed, evaluator, footage, progress)

    def _carry_out(
        self, trainer: EncoderTrainer, feed: ClipFeed, evaluator: Evaluator,
        footage: Mapping[int, Footage], progress: Progress,
    ) -> dict[str, Any]:  # fmt: skip
        records = Records(self.store, self.listing, self.broken, self.watch, progress.epoch)
        train, val = self.listing.splits["train"], self._split("val", footage)
        try:
            loop = Loop(self.job, trainer, feed, evaluator, train, val, footage, self.watch)
            loop.run(progress, self._callbacks(trainer, records))
            metrics = {}
            if trainer.objective.classifies:
                metrics = self._measure(evaluator, footage)
            if not self.peers.is_leader:
                return {}
            result = records.end(progress, metrics)
            self.store.end()
            return result
        finally:
            records.close()

    def _objective(self) -> Objective:
        seed = draw(self.job.seed, "init")
        with seeded(seed, self.plan.device), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*The head is untrained.*")
            objective = make_objective(self.job, len(self.listing.classes))
        return objective.to(self.plan.device)

    def _trainer(self, objective: Objective) -> EncoderTrainer:
        clips = len(self.listing.splits["train"]) * self.job.repeats
        steps = -(-clips // self.job.batch_size)
        augment = Augment(self.job, self.listing.classes)
        flow = FlowTable(self.job, objective.model.config) if self.job.flow_loss else None
        return EncoderTrainer(
            objective, augment, self.job, steps, self.plan.device, self.peers, flow
        )

    def _progress(self, trainer: EncoderTrainer) -> Progress:
        """Return the checkpoint's progress, or a fresh one; the same for all peers."""
        progress = self.store.load_checkpoint(trainer) or Progress()
        if len(set(self.peers.gather((progress.epoch, progress.step)))) > 1:
            raise JobError(
                f"not every worker finds the checkpoint in {self.store.root.uri}: --out must be "
                "s3://, or a disk that all nodes share"
            )
        return progress

    def _where(self) -> str:
        several = f"{self.peers.count} workers, " if self.peers.count > 1 else ""
        return several + self.plan.device.type

    def _probe(self, feed: ClipFeed) -> dict[int, Footage]:
        """Probe the samples; return footage by row. Each process probes its part of them."""
        mine = self.samples[self.peers.rank :: self.peers.count]
        found, broken = probe_samples(
            feed.pool(1), mine, self.job.clip_spec, self.plan.decoders,
            self._probed,
        )  # fmt: skip
        footage: dict[int, Footage] = {}
        for theirs, broken_there in self.peers.gather((found, broken)):
            footage |= theirs
            self.broken.add(broken_there)
        there = {f.sample.label for f in self._split("train", footage)}
        for place, name in enumerate(self.listing.classes):
            if place not in there and self.job.labelled:
                raise JobError(f"no training video of class {name} can be read")
        return footage

    def _probed(self, done: int, total: int) -> None:
        self.watch.advanced("probe", 0, done, total, 0.0)
        if self.watch.stopping():
            raise Interrupted(f"stopped after the headers of {done} of {total} videos")

    def _split(self, split: Split, footage: Mapping[int, Footage]) -> Sequence[Footage]:
        rows = [sample.row for sample in self.listing.splits[split]]
        return [footage[row] for row in rows if row in footage]

    def _callbacks(self, trainer: EncoderTrainer, records: Records) -> LoopCallbacks:
        """Build the callbacks: the leader writes; the others only take part in gathering."""

        def epoch(progress: Progress) -> None:
            self.broken.merge(self.peers.gather(self.broken))
            if self.peers.is_leader:
                records.epoch(progress)

        def nothing(*_: object) -> None:
            pass

        if not self.peers.is_leader:
            return LoopCallbacks(nothing, nothing, epoch)
        return LoopCallbacks(
            lambda progress: self.store.save_checkpoint(trainer, progress),
            lambda: self.store.save_best(trainer.model),
            epoch,
        )

    def _measure(
        self, evaluator: Evaluator, footage: Mapping[int, Footage]
    ) -> dict[Split, Metrics]:
        """Measure the published weights on the splits that they were not trained on."""
        self.peers.any(False)  # nobody reads them before the leader has written them
        model = self.store.load_best().to(self.plan.device)
        found: dict[Split, Metrics] = {}
        for split in SPLITS:
            part = self._split(split, footage)
            if split == "train" or not part:
                continue
            metrics = evaluator.metrics(model, part, split, self.job.epochs, self.watch)
            if metrics is not None:
                found[split] = metrics
        return found
