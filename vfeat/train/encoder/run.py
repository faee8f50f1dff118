"""`vfeat train encoder` from end to end."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch

from vfeat import ops
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.train.draw import draw
from vfeat.train.encoder.augment import Augment
from vfeat.train.encoder.broken import BrokenSamples
from vfeat.train.encoder.curves import draw_curves
from vfeat.train.encoder.evaluate import Evaluator
from vfeat.train.encoder.events import Events
from vfeat.train.encoder.feed import ClipFeed
from vfeat.train.encoder.history import Progress
from vfeat.train.encoder.listing import Listing, read_listing
from vfeat.train.encoder.loop import Keepers, Loop
from vfeat.train.encoder.objective import Objective
from vfeat.train.encoder.objectives import make_objective
from vfeat.train.encoder.outline import check_shape
from vfeat.train.encoder.probing import Footage, check_parts, probe_samples
from vfeat.train.encoder.result import EncoderResult
from vfeat.train.encoder.store import ERRORS_FILE, EncoderStore, Identity
from vfeat.train.encoder.trainer import EncoderTrainer
from vfeat.train.encoder.watch import EncoderWatch
from vfeat.train.metrics import Metrics
from vfeat.train.task import SPLITS, Split
from vfeat.train.trainer import seeded

CURVES_FILE = "curves.png"
DRAW_EVERY_S = 60.0


def train_encoder(job: TrainEncoderJob, watch: EncoderWatch | None = None) -> dict[str, Any]:
    """Train, measure and write an encoder; the same call again goes on or is done.

    Returns:
        What `metrics.json` holds.

    Raises:
        JobError: settings, a list or videos that cannot be used, in a sentence.
        Interrupted: the watch asked to stop; the same call goes on.
    """
    watch = watch or EncoderWatch()
    listing = read_listing(list_of(job, watch), job.seed, labelled=job.labelled)
    check_shape(job, len(listing.classes))
    for note in listing.notes:
        watch.note(note)
    store = EncoderStore(job.out, Identity.of(job, listing))
    done = store.finished()
    if done is not None:
        watch.note(f"Nothing to do: {store.root.uri} holds this encoder already.")
        return done
    return _Training(job, listing, store, watch).run()


def list_of(job: TrainEncoderJob, watch: EncoderWatch) -> str:
    """The list, made with its videos where the job says so."""
    if job.generate is None:
        assert job.source is not None  # the job has checked it
        return job.source
    corpus = import_module("vfeat.synthetic")  # needs OpenCV and FFmpeg's encoders, not torch
    made: str = corpus.write_corpus(
        job.generate.folder,
        clips=job.generate.clips,
        seed=job.generate.seed,
        workers=os.cpu_count() or 1,
        progress=lambda done, total: watch.advanced("generate", 0, done, total, 0.0),
    )
    return made


class _Training:
    """One run: everything that lives from the first probe to the last file."""

    def __init__(
        self, job: TrainEncoderJob, listing: Listing, store: EncoderStore, watch: EncoderWatch
    ) -> None:
        self.job, self.listing, self.store, self.watch = job, listing, store, watch
        self.device = choose_device(job.device)
        samples = [s for split in SPLITS for s in listing.splits[split]]
        self.samples = sorted(samples, key=lambda sample: sample.row)
        self.broken = BrokenSamples(len(samples), job.max_broken_share)
        self._drawn_s = time.monotonic()

    def run(self) -> dict[str, Any]:
        job = self.job
        why_not = check_parts(job.clip_spec, self.samples)
        if why_not:
            raise JobError(why_not)
        objective = self._objective()
        augment = Augment(job, self.listing.classes)
        kernel = ops.choose(self.device.type, torch.float32).name
        self.watch.note(f"Training on {self.device.type}, kernels: {kernel}.")
        workers = job.decode_workers or decode_workers(self.device)
        with ClipFeed(job, self.broken, workers, pin=self.device.type == "cuda") as feed:
            footage = self._probe(feed, workers)
            train = self.listing.splits["train"]
            steps = -(-len(train) * job.repeats // job.batch_size)
            trainer = EncoderTrainer(objective, augment, job, steps, self.device)
            self.store.begin(job, self.listing.classes if objective.classifies else (), kernel)
            progress = self.store.load_checkpoint(trainer)
            if progress is None:
                progress = Progress()
            else:
                self.watch.note(f"Going on in epoch {progress.epoch}, step {progress.step}.")
            evaluator = Evaluator(job, feed, len(self.listing.classes), self.device)
            val = self._split("val", footage)
            loop = Loop(job, trainer, feed, evaluator, train, val, footage, self.watch)
            self._learn(loop, trainer, progress)
            metrics = self._measure(evaluator, footage) if objective.classifies else {}
        result = self._written(progress, metrics, finished=True)
        self.store.end()
        return result

    def _objective(self) -> Objective:
        seed = draw(self.job.seed, "init")
        with seeded(seed, self.device), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*The head is untrained.*")
            return make_objective(self.job, len(self.listing.classes)).to(self.device)

    def _probe(self, feed: ClipFeed, workers: int) -> dict[int, Footage]:
        footage, broken = probe_samples(
            feed.pool(1), self.samples, self.job.clip_spec, workers,
            lambda done, total: self.watch.advanced("probe", 0, done, total, 0.0),
        )  # fmt: skip
        self.broken.add(broken)
        there = {f.sample.label for f in self._split("train", footage)}
        for place, name in enumerate(self.listing.classes):
            if place not in there and self.job.labelled:
                raise JobError(f"no training video of class {name} can be read")
        return footage

    def _split(self, split: Split, footage: Mapping[int, Footage]) -> Sequence[Footage]:
        rows = [sample.row for sample in self.listing.splits[split]]
        return [footage[row] for row in rows if row in footage]

    def _learn(self, loop: Loop, trainer: EncoderTrainer, progress: Progress) -> None:
        events = Events(self.store, progress.epoch)
        if events.missing:
            self.watch.note(events.missing)

        def written(progress: Progress) -> None:
            events.write(progress.history[-1])
            self._written(progress, {}, finished=False)

        try:
            loop.run(
                progress,
                Keepers(
                    lambda now: self.store.save_checkpoint(trainer, now),
                    lambda: self.store.save_best(trainer.model),
                    written,
                ),
            )
        finally:
            events.close()

    def _measure(
        self, evaluator: Evaluator, footage: Mapping[int, Footage]
    ) -> dict[Split, Metrics]:
        """The published weights on what they were not trained with."""
        model = self.store.load_best().to(self.device)
        found: dict[Split, Metrics] = {}
        for split in SPLITS:
            part = self._split(split, footage)
            if split == "train" or not part:
                continue
            metrics = evaluator.metrics(model, part, split, self.job.epochs, self.watch)
            if metrics is not None:
                found[split] = metrics
        return found

    def _written(
        self, progress: Progress, metrics: Mapping[Split, Metrics], finished: bool
    ) -> dict[str, Any]:
        """All files but weights and checkpoint, as things stand."""
        if len(self.broken):
            self.store.write_file(ERRORS_FILE, self.broken.to_csv())
        if finished or time.monotonic() - self._drawn_s > DRAW_EVERY_S:
            self._draw(progress)
        result = EncoderResult(
            self.store.root.uri, self.listing.classes, self.listing.counts(), progress,
            len(self.broken), metrics, finished,
        )  # fmt: skip
        content = result.to_json()
        self.store.write_metrics(content)
        return content

    def _draw(self, progress: Progress) -> None:
        """A picture takes a second, which short epochs would notice."""
        try:
            self.store.write_file(CURVES_FILE, draw_curves(progress.history))
        except EnvironmentMissing as error:
            self.watch.note(str(error))
        self._drawn_s = time.monotonic()


def choose_device(wanted: str) -> torch.device:
    """`auto` takes a GPU when torch sees one.

    Raises:
        EnvironmentMissing: `cuda` was asked for and torch has none.
    """
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise EnvironmentMissing("--device cuda: torch sees no GPU here; use --device cpu")
    return torch.device("cuda" if has_gpu and wanted != "cpu" else "cpu")


def decode_workers(device: torch.device) -> int:
    """Children that decode: all cores beside a GPU, half of them where the network needs some."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores if device.type == "cuda" else cores // 2)
