"""Training of heads from end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import torch

from vfeat.addresses import public, without_secrets
from vfeat.errors import JobError
from vfeat.job.train_head import TrainHeadJob
from vfeat.models.device import choose_device
from vfeat.sequences.head import Head
from vfeat.storage.root import Root
from vfeat.train.head import store
from vfeat.train.head.baseline import linear_baseline
from vfeat.train.head.examples import Examples, find_examples
from vfeat.train.head.feed import Feed
from vfeat.train.head.loop import evaluate, train_epoch
from vfeat.train.head.store import HeadResult
from vfeat.train.head.trainer import HeadTrainer
from vfeat.train.head.watch import TrainWatch
from vfeat.train.metrics import Metrics
from vfeat.train.task import SPLITS, Split, Task


def train_heads(job: TrainHeadJob, watch: TrainWatch | None = None) -> list[HeadResult]:
    """Train, test and write the heads; the same call again goes on or finds them done.

    Raises:
        JobError: settings, labels or features that cannot be used, in a sentence.
    """
    watch = watch or TrainWatch()
    device = choose_device(job.device)
    examples = find_examples(job)
    reader, matched = examples.reader, examples.matched
    for note in matched.notes:
        watch.note(note)
    identity = _identity(job, examples)
    root, names = Root(job.out), [task.name for task in matched.tasks]
    done = store.finished(root, names, identity)
    if done is not None:
        watch.note(f"Nothing to do: {root.uri} holds these heads already.")
        return done
    budgets = job.cache_megabytes << 20, job.scratch_megabytes << 20
    feed = Feed(
        reader, matched.videos, examples.window_s, examples.hop_s, *budgets, job.allow_missing
    )
    broken = feed.scan(lambda done, total: watch.advanced("scan", 0, done, total))
    if broken:
        watch.note(broken)
    tasks = [_readable(task, feed) for task in matched.tasks]
    l_max = feed.longest
    trainers = [HeadTrainer(task, job, feed.width, l_max, device) for task in tasks]
    _learn(trainers, feed, root, identity, device, watch)
    head = Head(
        root.address, "", "classification", (), reader.dataset.recipe, feed.width, job.level,
        examples.window_s, examples.hop_s,
    )  # fmt: skip
    results = _write(trainers, feed, head, identity, device, watch)
    store.finish(root, names)
    return results


def _learn(
    trainers: Sequence[HeadTrainer],
    feed: Feed,
    root: Root,
    identity: dict[str, Any],
    device: torch.device,
    watch: TrainWatch,
) -> None:
    """Train epochs until every head has stopped; each ends with a checkpoint."""
    epoch = store.load_checkpoint(root, identity, trainers)
    if epoch:
        watch.note(f"Going on after epoch {epoch}.")
    while epoch < trainers[0].job.epochs:
        active = [trainer for trainer in trainers if not trainer.stopped]
        if not active:
            return
        epoch += 1
        train_epoch(active, feed, epoch, device, watch)
        found = evaluate(active, feed, "val", epoch, device, watch)
        lines = {
            trainer.task.name: trainer.end_epoch(epoch, metrics)
            for trainer, metrics in zip(active, found, strict=True)
            if metrics is not None
        }
        store.save_checkpoint(root, identity, epoch, trainers)
        watch.epoch_ended(lines, {t.task.name: t.best_epoch for t in active})


def _write(
    trainers: Sequence[HeadTrainer],
    feed: Feed,
    plain: Head,
    identity: dict[str, Any],
    device: torch.device,
    watch: TrainWatch,
) -> list[HeadResult]:
    """Measure the best weights of each head and publish its folder."""
    measured: list[dict[Split, Metrics]] = [{} for _ in trainers]
    for trainer in trainers:
        trainer.keep_best()
    splits: tuple[Split, ...] = ("val", "test")
    for split in splits:
        found = evaluate(trainers, feed, split, trainers[0].job.epochs, device, watch)
        for mine, metrics in zip(measured, found, strict=True):
            if metrics is not None:
                mine[split] = metrics
    results, unpictured = [], None
    for trainer, mine in zip(trainers, measured, strict=True):
        task = trainer.task
        uri = store.head_uri(plain.uri, task.name, len(trainers))
        head = replace(
            plain, uri=uri, task=task.name, kind=task.kind, classes=task.classes,
            centre=task.centre, scale=task.scale,
        )  # fmt: skip
        baseline = linear_baseline(task, feed.means_ND, trainer.job.class_weights)
        counts = {split: len(task.split(split)) for split in SPLITS}
        result = HeadResult(
            task.name, task.kind, public(uri), task.classes, counts, trainer.history[-1].epoch,
            trainer.best_epoch, mine, baseline,
        )  # fmt: skip
        unpictured = store.write_head(head, trainer, result, identity) or unpictured
        results.append(result)
    if unpictured:
        watch.note(unpictured)
    return results


def _readable(task: Task, feed: Feed) -> Task:
    """Remove from the task the videos of which no window is left."""
    train, val, test = (
        tuple(e for e in task.split(split) if len(feed.spans[e.video])) for split in SPLITS
    )
    if not train or not val:
        raise JobError(f"task {task.name}: no usable features are left in a split")
    return replace(task, train=train, val=val, test=test)


def _identity(job: TrainHeadJob, examples: Examples) -> dict[str, Any]:
    """Return what decides a training's numbers: settings, recipe, and every example."""
    matched = examples.matched
    digest = blake2b(digest_size=16)
    for task in matched.tasks:
        digest.update(repr((task.name, task.kind, task.classes, task.centre)).encode())
        for split in SPLITS:
            for example in task.split(split):
                video = matched.videos[example.video]
                line = (split, video.video_id, video.clips, video.rows, example.target)
                digest.update(repr(line).encode())
    fields = {
        **job.numbers(),
        "window_seconds": examples.window_s,
        "hop_seconds": examples.hop_s,
        "recipe": examples.reader.dataset.recipe.fingerprint,
        "examples": digest.hexdigest(),
    }
    return dict(without_secrets(fields))
