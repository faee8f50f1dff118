"""VideoMamba as the video side: patch tokens, and vectors of the class token plus their mean.

Shape suffixes: B clips, C colours, T frames, H, W pixels; L tokens with the class token, N patch
tokens (visible ones under a mask), T' time steps of tokens, D width; Y returned layers, C' width of
the teacher.

Source: Li et al., "VideoMamba: State Space Model for Efficient Video Understanding", 2024, section
4.4; keys and semantics of the official `video_mm` code.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from vfeat.models.masked import AlignmentDecoder, MaskedConfig, MaskedVideoMamba, visible
from vfeat.models.pixels import Pixels
from vfeat.models.retrieval.config import RetrievalConfig


class VideoTokens(NamedTuple):
    """Result of the video side.

    Attributes:
        tokens_BND: normalised patch tokens, without the class token.
        pooled_BTD: a vector of each time step, or a single one (B, 1, D) under a mask.
        aligned_YBLC: vectors to compare with a teacher's visible tokens, the class token first;
            not of unit length, which is the loss's affair. None without a mask.
    """

    tokens_BND: Tensor
    pooled_BTD: Tensor
    aligned_YBLC: Tensor | None


class VideoSide(MaskedVideoMamba):
    """The trunk with alignment decoders and the norm of the pooled vectors."""

    def __init__(self, config: RetrievalConfig) -> None:
        known = {field.name for field in fields(MaskedConfig)}
        own = {name: value for name, value in asdict(config).items() if name in known}
        super().__init__(MaskedConfig(**own))
        self.pool_norm = nn.LayerNorm(config.embed_dim)

    def encode(
        self, video_BCTHW: Tensor | Pixels, mask_BL: Tensor | None = None, *, by_step: bool = True
    ) -> VideoTokens:
        """Encode clips, or images: clips of one frame, to which no time embedding is added.

        Args:
            video_BCTHW: normalised pixels, or uint8 ones that the first layer normalises.
            mask_BL: bool, True for hidden tokens, as many in each row; the class token, which is
                the first, is visible.
            by_step: pool each time step; else, and under a mask, all tokens together.

        Raises:
            JobError: the video or the mask has another shape than the model's.
        """
        tokens_BLD = self._embed(video_BCTHW)
        places_BLD = self.get_buffer("places_LD")[: tokens_BLD.shape[1]].expand_as(tokens_BLD)
        if mask_BL is not None:
            tokens_BLD, places_BLD = visible(tokens_BLD, mask_BL), visible(places_BLD, mask_BL)
        layers = []
        for index, (hidden_BLD, residual_BLD) in enumerate(self.blocks(tokens_BLD)):
            if mask_BL is not None and index in self.returned:
                layers.append(self._layer(index, hidden_BLD, residual_BLD))
        normed_BLD = self.norm(hidden_BLD, residual_BLD)[0]
        class_B1D, tokens_BND = normed_BLD[:, :1], normed_BLD[:, 1:]
        steps = tokens_BND.shape[1] // self.config.grid**2 if by_step and mask_BL is None else 1
        means_BTD = tokens_BND.unflatten(1, (steps, -1)).mean(2)
        aligned_YBLC = None
        if mask_BL is not None:
            pairs = zip(self.clip_decoder, layers, strict=True)
            aligned_YBLC = torch.stack(
                [cast(AlignmentDecoder, one).project(layer + places_BLD) for one, layer in pairs]
            )
        return VideoTokens(tokens_BND, self.pool_norm(class_B1D + means_BTD), aligned_YBLC)

    def _embed(self, video_BCTHW: Tensor | Pixels) -> Tensor:
        """Embed a clip as the trunk does; an image gets positions in space alone."""
        if video_BCTHW.dim() == 5 and video_BCTHW.shape[2] == 1 != self.config.num_frames:
            patches_BSD = self.patch_embed(video_BCTHW)[:, 0] + self.pos_embed[:, 1:]
            class_11D = self.cls_token + self.pos_embed[:, :1]
            return _with_class(class_11D, patches_BSD)
        return self.embed(video_BCTHW)


def _with_class(class_11D: Tensor, tokens_BSD: Tensor) -> Tensor:
    """Put the class token before the tokens of each image: (B, 1 + S, D)."""
    return torch.cat([class_11D.expand(len(tokens_BSD), -1, -1), tokens_BSD], dim=1)
