"""The dual encoder of words and video.

    words -> text side -> first token -> text_proj  -> unit vector ┐
                                                                   ├ dot product: how near they are
    video -> video side -> pooled     -> vision_proj -> unit vector ┘
    tokens of both -> fusion layers -> first token -> itm_head: do they match?

The video's vector is the mean of the unit vectors of its time steps, so that its dot product with a
sentence's vector is the mean of theirs, as in the official evaluation; its own length is at most 1.

Shape suffixes: B clips, C colours, T frames, H, W pixels (of video), L tokens with the class token,
N patch tokens, D their width; W tokens of a sentence, H their width, V vocabulary; P joint width.

Source: Li et al., "VideoMamba: State Space Model for Efficient Video Understanding", 2024, section
4.4, after Li et al., "Unmasked Teacher", 2023.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.models.pixels import Pixels
from vfeat.models.retrieval.config import RetrievalConfig
from vfeat.models.retrieval.text import TextSide
from vfeat.models.retrieval.video import VideoSide

TEMPERATURE = 0.07  # initial value
LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.001, 0.5  # bounds in training


class TextPass(NamedTuple):
    """Result of `Retrieval.embed_text`.

    Attributes:
        tokens_BWH: the sentence's tokens, which `match` takes.
        embedding_BP: unit vectors.
    """

    tokens_BWH: Tensor
    embedding_BP: Tensor


class VideoPass(NamedTuple):
    """Result of `Retrieval.embed_video`.

    Attributes:
        tokens_BND: the video's tokens, which `match` takes.
        embedding_BP: means of unit vectors, at most 1 long.
        aligned_YBLC: see `VideoTokens`; None without a mask.
    """

    tokens_BND: Tensor
    embedding_BP: Tensor
    aligned_YBLC: Tensor | None


class Retrieval(nn.Module):
    """Both sides with their projections, the matching head and the temperature.

    Attributes carry the official names, which are the checkpoint's keys.
    """

    def __init__(self, config: RetrievalConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_encoder = VideoSide(config)
        self.text_encoder = TextSide(config)
        self.vision_proj = nn.Linear(config.embed_dim, config.joint_dim)
        self.text_proj = nn.Linear(config.text_dim, config.joint_dim)
        self.temp = nn.Parameter(torch.tensor(TEMPERATURE))
        self.itm_head = nn.Linear(config.text_dim, 2)

    def embed_text(self, ids_BW: Tensor, mask_BW: Tensor) -> TextPass:
        """Embed sentences.

        Args:
            ids_BW: numbers of words, as the tokenizer gives them.
            mask_BW: 1 for a word, 0 for padding.
        """
        tokens_BWH = self.text_encoder.bert.encode(ids_BW, mask_BW)
        return TextPass(tokens_BWH, F.normalize(self.text_proj(tokens_BWH[:, 0]), dim=-1))

    def embed_video(
        self, video_BCTHW: Tensor | Pixels, mask_BL: Tensor | None = None, *, by_step: bool = True
    ) -> VideoPass:
        """Embed clips, or images: clips of one frame.

        Args:
            video_BCTHW: normalised pixels, or uint8 ones that the first layer normalises.
            mask_BL, by_step: see `VideoSide.encode`; the official code embeds by step.
        """
        video = self.vision_encoder.encode(video_BCTHW, mask_BL, by_step=by_step)
        units_BTP = F.normalize(self.vision_proj(video.pooled_BTD), dim=-1)
        return VideoPass(video.tokens_BND, units_BTP.mean(1), video.aligned_YBLC)

    def match(self, video_BND: Tensor, tokens_BWH: Tensor, mask_BW: Tensor) -> Tensor:
        """Score pairs: logits (B, 2) of no match and a match.

        Args:
            video_BND: tokens of `embed_video`.
            tokens_BWH: tokens of `embed_text`, one sentence for each video.
            mask_BW: as given to `embed_text`.
        """
        fused_BWH = self.text_encoder.bert.fuse(tokens_BWH, mask_BW, video_BND)
        return cast(Tensor, self.itm_head(fused_BWH[:, 0]))

    def predict_words(self, video_BND: Tensor, tokens_BWH: Tensor, mask_BW: Tensor) -> Tensor:
        """Predict the words of sentences from themselves and their videos: logits (B, W, V).

        Args:
            video_BND, tokens_BWH, mask_BW: as in `match`; some words were hidden.
        """
        fused_BWH = self.text_encoder.bert.fuse(tokens_BWH, mask_BW, video_BND)
        return cast(Tensor, self.text_encoder.cls["predictions"](fused_BWH))

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Keep the temperature in its bounds, after a step of training."""
        self.temp.clamp_(LEAST_TEMPERATURE, MOST_TEMPERATURE)
