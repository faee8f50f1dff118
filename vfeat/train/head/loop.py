"""Epoch loop: one pass over the videos for all heads at once.

The order of the videos and the window of each depend on the seed, the epoch and the video alone,
and every head gathers its own batches from the pass. So a head learns the same beside others as by
itself, and a resumed run learns the same as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vfeat.train.head.feed import Feed, Steps, collate
from vfeat.train.head.trainer import HeadTrainer
from vfeat.train.head.watch import TrainWatch
from vfeat.train.metrics import Metrics, measure
from vfeat.train.seeds import draw
from vfeat.train.task import Split, Target

EVAL_BYTES = 256 << 20


def train_epoch(
    trainers: Sequence[HeadTrainer], feed: Feed, epoch: int, device: torch.device, watch: TrainWatch
) -> None:
    """Train all heads on every training video once, by one window drawn for the epoch.

    Args:
        trainers: the heads that still learn.
        feed: windows of the videos.
        epoch: number of the epoch, from 1.
        device: device of the networks.
        watch: gets the progress.
    """
    answers = [{e.video: e.target for e in trainer.task.train} for trainer in trainers]
    seed = trainers[0].job.seed
    ids = [video.video_id for video in feed.videos]
    # By video id, not by place: the order stays the same when the features are listed anew.
    order = sorted(set().union(*answers), key=lambda place: draw(seed, "order", epoch, ids[place]))
    waiting: list[list[tuple[Steps, Target]]] = [[] for _ in trainers]
    for count, place in enumerate(order):
        stretch = feed.window(place, draw(seed, "window", epoch, ids[place]))
        for trainer, wanted, batch in zip(trainers, answers, waiting, strict=True):
            if place not in wanted:
                continue
            batch.append((stretch, wanted[place]))
            # Each head steps when its own batch is full, as if it were trained alone.
            if len(batch) == trainer.job.batch_size:
                _step(trainer, batch, epoch, device)
        watch.advanced("train", epoch, count + 1, len(order))
    for trainer, batch in zip(trainers, waiting, strict=True):
        if batch:
            _step(trainer, batch, epoch, device)


def _step(
    trainer: HeadTrainer, batch: list[tuple[Steps, Target]], epoch: int, device: torch.device
) -> None:
    trainer.step(collate([s for s, _ in batch], device), [t for _, t in batch], epoch)
    batch.clear()


def evaluate(
    trainers: Sequence[HeadTrainer],
    feed: Feed,
    split: Split,
    epoch: int,
    device: torch.device,
    watch: TrainWatch,
) -> list[Metrics | None]:
    """Compute metrics of each head over all windows of a video, their predictions averaged.

    Returns:
        One entry for each head; None for a head that has no video in the split.
    """
    wanted = [{e.video for e in trainer.task.split(split)} for trainer in trainers]
    sums: list[dict[int, Tensor]] = [{} for _ in trainers]
    counts: dict[int, int] = {}
    order = sorted(set().union(*wanted))
    for chunk in _chunks(feed, order, trainers[0].job.batch_size):
        batch = collate([stretch for _, stretch in chunk], device)
        for trainer, mine, total in zip(trainers, wanted, sums, strict=True):
            # A chunk holds videos of all heads; each head predicts only its own.
            rows = [row for row, (place, _) in enumerate(chunk) if place in mine]
            if not rows:
                continue
            predicted_BK = trainer.predict(batch if len(rows) == len(chunk) else batch.rows(rows))
            for row, predicted_K in zip(rows, predicted_BK, strict=True):
                place = chunk[row][0]
                total[place] = total[place] + predicted_K if place in total else predicted_K
        for place, _ in chunk:
            counts[place] = counts.get(place, 0) + 1
        watch.advanced(split, epoch, len(counts), len(order))
    return [
        _measured(trainer, split, total, counts)
        for trainer, total in zip(trainers, sums, strict=True)
    ]


def _chunks(feed: Feed, order: Sequence[int], batch_size: int) -> Iterator[list[tuple[int, Steps]]]:
    """Yield windows of the videos in order, in groups of limited count and bytes."""
    chunk: list[tuple[int, Steps]] = []
    longest = 0
    for place in order:
        for stretch in feed.windows(place):
            length = max(longest, len(stretch.mask_L))
            size_bytes = (len(chunk) + 1) * length * feed.width * 4
            if chunk and (len(chunk) == batch_size or size_bytes > EVAL_BYTES):
                yield chunk
                chunk, length = [], len(stretch.mask_L)
            chunk.append((place, stretch))
            longest = length
    if chunk:
        yield chunk


def _measured(
    trainer: HeadTrainer, split: Split, sums: dict[int, Tensor], counts: dict[int, int]
) -> Metrics | None:
    examples = trainer.task.split(split)
    if not examples:
        return None
    means_NK = torch.stack([sums[e.video] / counts[e.video] for e in examples])
    return measure(trainer.task.kind, means_NK.numpy(), [e.target for e in examples])
