"""What a training of words minimises, for a dual encoder and for words alone.

Shape legend: B clips with their captions, C colours, T frames, S side in pixels, W tokens of a
caption, P width of the shared space, N tokens of a clip, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.job.train_retrieval import TrainRetrievalJob
from vfeat.models.retrieval.network import Retrieval
from vfeat.models.retrieval.text_tower import TextTower
from vfeat.train.encoder.objectives.masks import tube_mask
from vfeat.train.retrieval.captions import CaptionBatch
from vfeat.train.retrieval.losses import (
    SpecialTokens,
    contrastive_loss,
    excluded_pairs,
    hidden_word_loss,
    hide_words,
    matching_pairs,
)


@dataclass(frozen=True)
class RetrievalBatch:
    """Clips with their captions, on the network's device.

    Attributes:
        clips: pixels as the network takes them, float32 BCTSS; or vectors of frozen clips, BP.
        captions: one for each clip.
        clip_B: int64; equal numbers are equal clips.
    """

    clips: Tensor
    captions: CaptionBatch
    clip_B: Tensor


class RetrievalObjective(nn.Module):
    """Base class: the network, and its losses for a batch.

    Attributes:
        model: what is trained, checkpointed and saved.
        classifies: True: the evaluator measures it (see `train/encoder/loop.py`).
    """

    model: Retrieval | TextTower
    classifies: ClassVar[bool] = True

    def forward(self, batch: RetrievalBatch) -> dict[str, Tensor]:
        """Return the means over the batch by name; `loss` is minimised."""
        raise NotImplementedError


class DualObjective(RetrievalObjective):
    """Contrastive loss of both sides, matching with hard negatives, hidden words.

    Args:
        model: the dual encoder.
        special: tokens that are not words.
    """

    model: Retrieval

    def __init__(self, model: Retrieval, job: TrainRetrievalJob, special: SpecialTokens) -> None:
        super().__init__()
        self.model, self.job, self.special = model, job, special

    def forward(self, batch: RetrievalBatch) -> dict[str, Tensor]:
        ids_BW, mask_BW = batch.captions.ids_BL, batch.captions.mask_BL
        video = self.model.embed_video(batch.clips, self._mask(batch.clips))
        text = self.model.embed_text(ids_BW, mask_BW)
        similarity_BB = video.embedding_BP @ text.embedding_BP.T / self.model.temp
        excluded_BB = excluded_pairs(batch.captions.caption_B, batch.clip_B)
        found = {"contrastive": contrastive_loss(similarity_BB, excluded_BB)}
        loss = found["contrastive"]
        if self.job.matching:
            pairs = matching_pairs(similarity_BB, excluded_BB)
            logits_N2 = self.model.match(
                video.tokens_BND[pairs.clips_N],
                text.tokens_BWH[pairs.captions_N],
                mask_BW[pairs.captions_N],
            )
            found["matching"] = F.cross_entropy(logits_N2.float(), pairs.matches_N)
            loss = loss + self.job.matching * found["matching"]
        if self.job.mlm_weight:
            shown_BW, targets_BW = hide_words(ids_BW, self.special, self.job.mlm_ratio)
            tokens_BWH = self.model.embed_text(shown_BW, mask_BW).tokens_BWH
            logits_BWV = self.model.predict_words(video.tokens_BND, tokens_BWH, mask_BW)
            found["hidden_words"] = hidden_word_loss(logits_BWV, targets_BW)
            loss = loss + self.job.mlm_weight * found["hidden_words"]
        return {"loss": loss, **found}

    def _mask(self, clips_BCTSS: Tensor) -> Tensor | None:
        """Hide a share of each clip's tokens, the same patches all the time; None if none is."""
        if not self.job.vision_mask_ratio or not self.training:
            return None
        config = self.model.config
        mask_BL = tube_mask(
            len(clips_BCTSS), config.tubelets, config.grid**2, self.job.vision_mask_ratio
        )
        return mask_BL.to(clips_BCTSS.device)


class WordsObjective(RetrievalObjective):
    """Contrastive loss of words alone, with vectors of frozen clips."""

    model: TextTower

    def __init__(self, model: TextTower) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: RetrievalBatch) -> dict[str, Tensor]:
        text_BP = self.model.embed_text(batch.captions.ids_BL, batch.captions.mask_BL)
        clips_BP = F.normalize(batch.clips, dim=-1)
        excluded_BB = excluded_pairs(batch.captions.caption_B, batch.clip_B)
        loss = contrastive_loss(clips_BP @ text_BP.T / self.model.temp, excluded_BB)
        return {"loss": loss}


def set_temperature(model: Retrieval | TextTower, value: float) -> None:
    """Set the temperature at the start of a training."""
    with torch.no_grad():
        model.temp.fill_(value)
