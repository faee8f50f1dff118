"""`vfeat train retrieval` from end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from vfeat import ops
from vfeat.errors import Interrupted, JobError
from vfeat.job.train_retrieval import TrainRetrievalJob
from vfeat.kernels.heap import keep_freed_memory
from vfeat.models.retrieval.factory import create_retrieval
from vfeat.models.retrieval.stored_words import load_text_tower
from vfeat.train.encoder.data.broken import BrokenSamples
from vfeat.train.encoder.data.feed import ClipFeed
from vfeat.train.encoder.data.footage import Footage, check_parts, probe_samples
from vfeat.train.encoder.device_plan import DevicePlan, plan_devices
from vfeat.train.encoder.history import Progress
from vfeat.train.encoder.loop import Feed, Loop, LoopCallbacks
from vfeat.train.encoder.records import Records
from vfeat.train.encoder.watch import EncoderWatch
from vfeat.train.metrics import Metrics
from vfeat.train.retrieval.captions import CaptionList, CaptionTokens, read_captions
from vfeat.train.retrieval.evaluate import RetrievalEvaluator
from vfeat.train.retrieval.frozen import FrozenClips, embed_clips, load_vectors, save_vectors
from vfeat.train.retrieval.network import (
    check_shape,
    make_dual,
    make_frozen,
    make_tower,
    settle,
    vision_digest,
)
from vfeat.train.retrieval.objective import (
    DualObjective,
    RetrievalObjective,
    WordsObjective,
    set_temperature,
)
from vfeat.train.retrieval.store import FROZEN_FILE, RetrievalStore, identity_of
from vfeat.train.retrieval.trainer import Pixels, RetrievalTrainer, unchanged
from vfeat.train.retrieval.vocabulary import (
    Vocabulary,
    encoded,
    make_vocabulary,
    special_tokens,
)
from vfeat.train.seeds import draw, seeded
from vfeat.train.task import SPLITS, Split


def train_retrieval(job: TrainRetrievalJob, watch: EncoderWatch | None = None) -> dict[str, Any]:
    """Train, measure and write a network; the same call again goes on or returns at once.

    Returns:
        The content of `metrics.json`.

    Raises:
        JobError: settings, a list or videos that cannot be used, in a sentence.
        Interrupted: the watch asked to stop; the same call goes on.
    """
    watch = watch or EncoderWatch()
    prepared = prepare(job)
    for note in prepared.captions.listing.notes:
        watch.note(note)
    done = prepared.store.finished()
    if done is not None:
        watch.note(f"Nothing to do: {prepared.store.root.uri} holds this network already.")
        return done
    return RetrievalTraining(prepared, watch).run()


@dataclass(frozen=True)
class Prepared:
    """A training that may begin.

    Attributes:
        job: with the weights' own clips and frames.
        captions: clips with captions.
        vocabulary: words.
        digest: of the weights to start from; empty without any.
        store: the folder.
    """

    job: TrainRetrievalJob
    captions: CaptionList
    vocabulary: Vocabulary
    digest: str
    store: RetrievalStore


def prepare(job: TrainRetrievalJob) -> Prepared:
    """Read the list and refuse a training that cannot run.

    Raises:
        JobError, EnvironmentMissing: as `train_retrieval`.
    """
    job = settle(job)
    captions = read_captions(job.source, job.seed)
    words = make_vocabulary(job.vocabulary, captions.of_split("train"), job.min_word_count)
    check_shape(job, words.size)
    digest = vision_digest(job)
    digests = {"weights": digest, "vocabulary": words.digest}
    store = RetrievalStore(job.out, identity_of(job, captions, digests))
    return Prepared(job, captions, words, digest, store)


class RetrievalTraining:
    """A training: everything that lives from the first probe to the last file."""

    def __init__(self, prepared: Prepared, watch: EncoderWatch) -> None:
        self.prepared, self.watch = prepared, watch
        self.job, self.listing = prepared.job, prepared.captions.listing
        self.store = prepared.store
        self.plan: DevicePlan = plan_devices(self.job.as_encoder_job)
        self.samples = sorted(
            (s for split in SPLITS for s in self.listing.splits[split]), key=lambda s: s.row
        )
        self.broken = BrokenSamples(len(self.samples), self.job.max_broken_share)
        if self.plan.device.type == "cpu":
            keep_freed_memory()

    def run(self) -> dict[str, Any]:
        """Train from the checkpoint, or the start, to the end; see `train_retrieval`."""
        encoder_job = self.job.as_encoder_job
        if why_not := check_parts(encoder_job.clip_spec, self.samples):
            raise JobError(why_not)
        device = self.plan.device
        kernel = ops.choose(device.type, torch.float32).name
        self.watch.note(f"Training on {device.type}, kernels: {kernel}.")
        pin = device.type == "cuda"
        with ClipFeed(encoder_job, self.broken, self.plan.decoders, pin) as clips:
            footage = self._probe(clips)
            trainer = self._trainer()
            finds = self.prepared.digest if self.job.freeze_vision else None
            self.store.begin(self.job, self.prepared.vocabulary.content, kernel, finds)
            progress = self.store.load_checkpoint(trainer) or Progress()
            if progress.step or progress.history:
                self.watch.note(f"Going on in epoch {progress.epoch}, step {progress.step}.")
            feed = self._frozen(clips, footage) if self.job.freeze_vision else clips
            return self._carry_out(trainer, feed, footage, progress)

    def _carry_out(
        self, trainer: RetrievalTrainer, feed: Feed, footage: Mapping[int, Footage],
        progress: Progress,
    ) -> dict[str, Any]:  # fmt: skip
        records = RetrievalRecords(
            self.store, self.listing, self.broken, self.watch, progress.epoch
        )
        evaluator = RetrievalEvaluator(self.job, feed, trainer.tokens, self.plan.device)
        train, val = self.listing.splits["train"], self._split("val", footage)
        callbacks = LoopCallbacks(
            lambda so_far: self.store.save_checkpoint(trainer, so_far),
            lambda: self.store.save_best(trainer.objective.model),
            records.epoch,
        )
        encoder_job = self.job.as_encoder_job
        try:
            loop = Loop(encoder_job, trainer, feed, evaluator, train, val, footage, self.watch)
            loop.run(progress, callbacks)
            result = records.end(progress, self._measure(trainer, evaluator, footage))
            self.store.end()
            return result
        finally:
            records.close()

    def _trainer(self) -> RetrievalTrainer:
        job, words = self.job, self.prepared.vocabulary
        length = check_shape(job, words.size).sentence_tokens
        tokenizer = words.tokenizer(length)
        with seeded(draw(job.seed, "init"), self.plan.device):
            objective: RetrievalObjective
            if job.freeze_vision:
                objective = WordsObjective(make_tower(job, words.size))
            else:
                dual = make_dual(job, words.size)
                objective = DualObjective(dual, job, special_tokens(tokenizer))
        if job.temperature is not None:
            set_temperature(objective.model, job.temperature)
        tokens = CaptionTokens(self.prepared.captions, partial(encoded, tokenizer))
        steps = -(-len(self.listing.splits["train"]) // job.batch_size)
        pixels = unchanged if job.freeze_vision else Pixels(job)
        moved = objective.to(self.plan.device)
        return RetrievalTrainer(moved, tokens, pixels, job, steps, self.plan.device)

    def _frozen(self, clips: ClipFeed, footage: Mapping[int, Footage]) -> FrozenClips:
        """Return the vectors of all clips: those of an earlier run, or made here."""
        root = self.store.root
        if root.exists(FROZEN_FILE):
            return FrozenClips(load_vectors(root, FROZEN_FILE, footage))
        embed = make_frozen(self.job, self.plan.device)
        vectors = embed_clips(clips, footage, embed, self.plan.device, self.watch)
        save_vectors(root, FROZEN_FILE, footage, vectors)
        return FrozenClips(vectors)

    def _probe(self, feed: ClipFeed) -> dict[int, Footage]:
        footage, broken = probe_samples(
            feed.pool(1), self.samples, self.job.as_encoder_job.clip_spec, self.plan.decoders,
            self._probed,
        )  # fmt: skip
        self.broken.add(broken)
        if not self._split("train", footage):
            raise JobError("no training video can be read")
        return footage

    def _probed(self, done: int, total: int) -> None:
        self.watch.advanced("probe", 0, done, total, 0.0)
        if self.watch.stopping():
            raise Interrupted(f"stopped after the headers of {done} of {total} videos")

    def _split(self, split: Split, footage: Mapping[int, Footage]) -> Sequence[Footage]:
        rows = [sample.row for sample in self.listing.splits[split]]
        return [footage[row] for row in rows if row in footage]

    def _measure(
        self, trainer: RetrievalTrainer, evaluator: RetrievalEvaluator,
        footage: Mapping[int, Footage],
    ) -> dict[Split, Metrics]:  # fmt: skip
        """Measure the published weights on the splits that they were not trained on."""
        model = trainer.objective.model
        address = self.store.root.address
        if self.job.freeze_vision:
            model.load_state_dict(load_text_tower(address).state_dict())
        else:
            published = create_retrieval("videomamba_mm", weights=address)
            model.load_state_dict(published.state_dict())
        found: dict[Split, Metrics] = {}
        for split in SPLITS:
            part = self._split(split, footage)
            if split == "train" or not part:
                continue
            metrics = evaluator.metrics(trainer.objective, part, split, self.job.epochs, self.watch)
            if metrics is not None:
                found[split] = metrics
        return found


class RetrievalRecords(Records):
    """The files beside the weights; `metrics.json` has recall in place of classes."""

    def _content(
        self, progress: Progress, metrics: Mapping[Split, Metrics], finished: bool
    ) -> dict[str, Any]:
        best = progress.best
        lines = progress.history
        seconds = sum(line.seconds for line in lines)
        waited_s = sum(line.seconds * line.waited_share for line in lines)
        return {
            "out": self._store.root.uri,
            "finished": finished,
            "epochs": len(lines),
            "best_epoch": 0 if best is None else best.epoch,
            "classes": [],
            "videos": {split: len(self._listing.splits[split]) for split in SPLITS},
            "broken": len(self._broken),
            "metrics": {split: found.to_json() for split, found in metrics.items()},
            "waited_share": waited_s / max(seconds, 1e-9),
            "history": [line.to_json() for line in lines],
        }
