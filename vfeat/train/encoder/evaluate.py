"""Evaluation of the network on a split: all clips and crops of a video, probabilities averaged.

Shape legend: B clips, V crops, T frames, S side in pixels, K classes, N videos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vfeat.errors import Interrupted
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models.flips import over_flips
from vfeat.train.encoder.data.augment import channels_first, normalised, read_flips
from vfeat.train.encoder.data.epoch_order import evaluation_groups
from vfeat.train.encoder.data.feed import ClipFeed, RawBatch
from vfeat.train.encoder.data.footage import Footage
from vfeat.train.encoder.data.prefetch import Prefetch
from vfeat.train.encoder.history import Progress
from vfeat.train.encoder.objectives.base import Losses, Objective, TrainBatch
from vfeat.train.encoder.peers import Peers
from vfeat.train.encoder.trainer import autocast
from vfeat.train.encoder.watch import EncoderWatch, Phase
from vfeat.train.metrics import Metrics, measure
from vfeat.train.seeds import draw, seeded


@dataclass
class _Scores:
    """Scores of one video: its class, and the sum of the probabilities K of `count` clips."""

    label: int
    sum_K: npt.NDArray[np.float64] | float = 0.0
    count: int = 0

    def add(self, scores_K: npt.NDArray[np.float64]) -> None:
        self.sum_K = self.sum_K + scores_K
        self.count += 1


class Evaluator:
    """Evaluator of networks over splits.

    Args:
        job: settings of the training.
        classes: names of the K classes.
    """

    def __init__(
        self,
        job: TrainEncoderJob,
        feed: ClipFeed,
        classes: Sequence[str],
        device: torch.device,
        peers: Peers,
    ) -> None:
        self._job, self._feed, self._classes, self._device = job, feed, len(classes), device
        self._peers = peers
        self._flips = read_flips(job, classes) if job.test_flips else ()

    def metrics(
        self, model: torch.nn.Module, footage: Sequence[Footage], phase: Phase, epoch: int,
        watch: EncoderWatch,
    ) -> Metrics | None:  # fmt: skip
        """Compute metrics of a network that classifies.

        Args:
            model: returns logits (B, K) of clips.
            footage: videos of the split.
            phase, epoch: position, for the watch.
            watch: gets the progress, and may ask to stop.

        Returns:
            None when no video yields a clip.
        """

        def score(video_BCTSS: Tensor) -> Tensor:
            logits_BK: Tensor = model(video_BCTSS)
            return logits_BK.double().softmax(-1)

        model.eval()
        sums: dict[int, _Scores] = {}
        for raw, video_BCTSS in self._batches(footage, phase, epoch, watch):
            with torch.inference_mode(), autocast(self._job, self._device):
                scores = over_flips(score(video_BCTSS), video_BCTSS, self._flips, score)
            scores_BK = scores.view(len(raw.picks), -1, self._classes).mean(1).cpu()
            for pick, scores_K in zip(raw.picks, scores_BK, strict=True):
                sums.setdefault(pick.row, _Scores(pick.label)).add(scores_K.numpy())
        return _measured(self._peers.gather(sums))

    def losses(
        self, objective: Objective, footage: Sequence[Footage], phase: Phase, epoch: int,
        watch: EncoderWatch,
    ) -> dict[str, float]:  # fmt: skip
        """Average an objective's own losses over a split.

        Args:
            objective: the objective with its network.
            footage: videos of the split.
            phase, epoch: position, for the watch.
            watch: gets the progress, and may ask to stop.

        Returns:
            Means by name; empty when no video yields a clip.
        """
        objective.eval()
        total = Progress()
        for raw, video_BCTSS in self._batches(footage, phase, epoch, watch):
            views = len(video_BCTSS) // len(raw.picks)
            labels = torch.tensor([p.label for p in raw.picks for _ in range(views)])
            target_BK = torch.nn.functional.one_hot(labels, self._classes).float()
            batch = TrainBatch(video_BCTSS, target_BK.to(self._device))
            seed = draw(self._job.seed, "validation", raw.picks[0].row)
            with torch.no_grad(), seeded(seed, self._device), autocast(self._job, self._device):
                found: Losses = objective(batch)
            losses = {name: float(value) for name, value in found.by_name.items()}
            total.add(losses, len(raw.picks))
        everywhere = Progress()
        for part in self._peers.gather(total):
            everywhere.clips += part.clips
            for name, value in part.sums.items():
                everywhere.sums[name] = everywhere.sums.get(name, 0.0) + value
        return everywhere.means()

    def _batches(
        self, footage: Sequence[Footage], phase: Phase, epoch: int, watch: EncoderWatch
    ) -> Iterator[tuple[RawBatch, Tensor]]:
        """Yield non-empty batches, and their pixels as the network takes them."""
        groups = evaluation_groups(footage, self._job)
        total, done = sum(map(len, groups)), 0
        mine = [self._peers.share(group) for group in groups]
        with Prefetch(self._feed.batches(mine, self._job.crops)) as batches:
            for group, raw in zip(groups, batches, strict=True):
                if raw.picks:
                    frames = raw.frames_BVTSSC.to(self._device, non_blocking=True).flatten(0, 1)
                    yield raw, normalised(channels_first(frames))
                done += len(group)
                if self._peers.any(watch.stopping()):
                    raise Interrupted(f"stopped after {done} of {total} clips of {phase}")
                watch.advanced(phase, epoch, done, total, 0.0)


def _measured(parts: Sequence[dict[int, _Scores]]) -> Metrics | None:
    """Compute metrics of all peers' videos; a video whose clips went to several counts once."""
    videos: dict[int, list[_Scores]] = {}
    for part in parts:
        for row, scores in part.items():
            videos.setdefault(row, []).append(scores)
    if not videos:
        return None
    rows = sorted(videos)
    means = [sum(s.sum_K for s in videos[r]) / sum(s.count for s in videos[r]) for r in rows]
    return measure("classification", np.stack(means), [videos[row][0].label for row in rows])
