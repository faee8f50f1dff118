"""Measuring the network on a split: all clips and crops of a video, their probabilities averaged.

Shape legend: B clips, V crops, T frames, S side in pixels, K classes, N videos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vfeat.errors import Interrupted
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.train.draw import draw
from vfeat.train.encoder.augment import channels_first, normalised
from vfeat.train.encoder.feed import ClipFeed, RawBatch
from vfeat.train.encoder.history import Progress
from vfeat.train.encoder.objective import Objective, TrainBatch
from vfeat.train.encoder.order import evaluation_groups
from vfeat.train.encoder.prefetch import Prefetch
from vfeat.train.encoder.probing import Footage
from vfeat.train.encoder.trainer import autocast
from vfeat.train.encoder.watch import EncoderWatch, Phase
from vfeat.train.metrics import Metrics, measure
from vfeat.train.trainer import seeded


class Evaluator:
    """Runs networks over splits.

    Args:
        classes: K.
    """

    def __init__(
        self, job: TrainEncoderJob, feed: ClipFeed, classes: int, device: torch.device
    ) -> None:
        self._job, self._feed, self._classes, self._device = job, feed, classes, device

    def metrics(
        self, model: torch.nn.Module, footage: Sequence[Footage], phase: Phase, epoch: int,
        watch: EncoderWatch,
    ) -> Metrics | None:  # fmt: skip
        """Of a network that classifies; None when no video gives a clip."""
        model.eval()
        sums: dict[int, Tensor] = {}
        labels: dict[int, int] = {}
        counts: dict[int, int] = {}
        for raw, video_BCTSS in self._batches(footage, phase, epoch, watch):
            with torch.inference_mode(), autocast(self._job, self._device):
                scores = model(video_BCTSS).double().softmax(-1)
            scores_BK = scores.view(len(raw.picks), -1, self._classes).mean(1).cpu()
            for pick, scores_K in zip(raw.picks, scores_BK, strict=True):
                row = pick.row
                sums[row] = sums[row] + scores_K if row in sums else scores_K
                counts[row] = counts.get(row, 0) + 1
                labels[row] = pick.label
        if not sums:
            return None
        means_NK = np.stack([sums[row].numpy() / counts[row] for row in sorted(sums)])
        return measure("classification", means_NK, [labels[row] for row in sorted(sums)])

    def losses(
        self, objective: Objective, footage: Sequence[Footage], phase: Phase, epoch: int,
        watch: EncoderWatch,
    ) -> dict[str, float]:  # fmt: skip
        """Means of an objective's own losses; empty when no video gives a clip."""
        objective.eval()
        total = Progress()
        for raw, video_BCTSS in self._batches(footage, phase, epoch, watch):
            views = len(video_BCTSS) // len(raw.picks)
            labels = torch.tensor([p.label for p in raw.picks for _ in range(views)])
            target_BK = torch.nn.functional.one_hot(labels, self._classes).float()
            batch = TrainBatch(video_BCTSS, target_BK.to(self._device))
            seed = draw(self._job.seed, "validation", raw.picks[0].row)
            with torch.no_grad(), seeded(seed, self._device), autocast(self._job, self._device):
                found = objective(batch)
            total.add({name: float(value) for name, value in found.items()}, len(raw.picks))
        return total.means()

    def _batches(
        self, footage: Sequence[Footage], phase: Phase, epoch: int, watch: EncoderWatch
    ) -> Iterator[tuple[RawBatch, Tensor]]:
        """Batches that hold a clip, and their pixels as the network takes them."""
        groups = evaluation_groups(footage, self._job)
        total, done = sum(map(len, groups)), 0
        with Prefetch(self._feed.batches(groups, self._job.crops)) as batches:
            for group, raw in zip(groups, batches, strict=True):
                if raw.picks:
                    frames = raw.frames_BVTSSC.to(self._device, non_blocking=True).flatten(0, 1)
                    yield raw, normalised(channels_first(frames))
                done += len(group)
                if watch.stopping():
                    raise Interrupted(f"stopped after {done} of {total} clips of {phase}")
                watch.advanced(phase, epoch, done, total, 0.0)
