"""Evaluation of clips and words on a split: loss and recall, both ways.

Shape legend: N rows of the split, B rows of a batch, P width of the shared space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from vfeat.errors import Interrupted
from vfeat.job.train_retrieval import TrainRetrievalJob
from vfeat.models.retrieval.network import Retrieval
from vfeat.train.encoder.data.augment import channels_first, normalised
from vfeat.train.encoder.data.epoch_order import Pick, evaluation_groups
from vfeat.train.encoder.data.footage import Footage
from vfeat.train.encoder.data.prefetch import Prefetch
from vfeat.train.encoder.loop import Feed
from vfeat.train.encoder.trainer import autocast
from vfeat.train.encoder.watch import EncoderWatch, Phase
from vfeat.train.metrics import Metrics
from vfeat.train.retrieval.captions import CaptionTokens
from vfeat.train.retrieval.losses import contrastive_loss, excluded_pairs
from vfeat.train.retrieval.objective import RetrievalObjective
from vfeat.train.retrieval.recall import PLACES, chance, recall
from vfeat.train.retrieval.trainer import clip_numbers


class RetrievalEvaluator:
    """Evaluator over splits, as the loop of `train/encoder` takes it.

    A clip answers a caption if it is the row's own, has the same caption, or is the same clip.
    """

    def __init__(
        self, job: TrainRetrievalJob, feed: Feed, tokens: CaptionTokens, device: torch.device
    ) -> None:
        self._job, self._feed, self._tokens, self._device = job, feed, tokens, device

    def metrics(
        self, model: RetrievalObjective, footage: Sequence[Footage], phase: Phase, epoch: int,
        watch: EncoderWatch,
    ) -> Metrics | None:  # fmt: skip
        """Compute the metrics of a network; None when no video yields a clip.

        Args:
            model: holds the network.
            footage: videos of the split.
            phase, epoch: position, for the watch.
            watch: gets the progress, and may ask to stop.

        Raises:
            Interrupted: the watch asked to stop.
        """
        model.eval()
        groups = evaluation_groups(footage, self._job.as_encoder_job)
        total, done = sum(map(len, groups)), 0
        clips: list[torch.Tensor] = []
        texts: list[torch.Tensor] = []
        picks: list[Pick] = []
        with Prefetch(self._feed.batches(groups)) as batches:
            for group, raw in zip(groups, batches, strict=True):
                if raw.picks:
                    rows = [pick.row for pick in raw.picks]
                    clips.append(self._clips(model, raw.frames_BVTSSC[:, 0]))
                    texts.append(self._texts(model, rows))
                    picks += raw.picks
                done += len(group)
                if watch.stopping():
                    raise Interrupted(f"stopped after {done} of {total} clips of {phase}")
                watch.advanced(phase, epoch, done, total, 0.0)
        if not picks:
            return None
        captions_N = self._tokens.of([pick.row for pick in picks]).caption_B
        excluded_NN = excluded_pairs(captions_N, clip_numbers(picks))
        cosine_NN = torch.cat(clips) @ torch.cat(texts).T
        loss = contrastive_loss(cosine_NN / model.model.temp.detach().cpu(), excluded_NN)
        return _measured(cosine_NN.double().numpy(), excluded_NN.numpy(), float(loss))

    def losses(
        self, objective: Any, footage: Sequence[Footage], phase: Phase, epoch: int,
        watch: EncoderWatch,
    ) -> dict[str, float]:  # fmt: skip
        """Not used: retrieval has metrics."""
        raise AssertionError("a training of words is measured by its metrics")

    def _clips(self, model: RetrievalObjective, frames: torch.Tensor) -> torch.Tensor:
        """Embed clips, float32 [B, P] on the CPU."""
        frames = frames.to(self._device, non_blocking=True)
        encoder_job = self._job.as_encoder_job
        with torch.inference_mode(), autocast(encoder_job, self._device):
            if isinstance(model.model, Retrieval):
                pixels = normalised(channels_first(frames))
                return model.model.embed_video(pixels).embedding_BP.float().cpu()
            return F.normalize(frames, dim=-1).float().cpu()

    def _texts(self, model: RetrievalObjective, rows: Sequence[int]) -> torch.Tensor:
        """Embed captions, float32 [B, P] on the CPU."""
        captions = self._tokens.of(rows)
        ids_BW, mask_BW = captions.ids_BL.to(self._device), captions.mask_BL.to(self._device)
        with torch.inference_mode(), autocast(self._job.as_encoder_job, self._device):
            found = model.model.embed_text(ids_BW, mask_BW)
            embedding_BP = found if isinstance(found, torch.Tensor) else found.embedding_BP
        return embedding_BP.float().cpu()


def _measured(cosine_NN: np.ndarray, excluded_NN: np.ndarray, loss: float) -> Metrics:
    """Compute recall from the cosines of clips (rows) and captions (columns)."""
    right_NN = excluded_NN | np.eye(len(excluded_NN), dtype=np.bool_)
    to_text, to_video = recall(cosine_NN, right_NN), recall(cosine_NN.T, right_NN)
    count = len(cosine_NN)
    by_chance = {f"r{place}": chance(count, right_NN.sum(1).tolist(), place) for place in PLACES}
    found = {
        "text_to_video": asdict(to_video), "video_to_text": asdict(to_text), "chance": by_chance
    }  # fmt: skip
    return Metrics(count, loss, top1=(to_text.r1 + to_video.r1) / 2, recall=found)
