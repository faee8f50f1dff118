"""VideoMamba over the visible tokens only, trained to predict a teacher's tokens.

    all tokens -> the visible ones -> blocks -> the last layers' normalised tokens
               -> + sinusoids of their positions -> a decoder for each layer -> unit vectors

For the last layer, the official code returns the stream as it enters the last block, so that
neither that block nor the final norm is trained. `last_layer="normalised"` returns the final norm's
output.

Shape suffixes: B batch, C colours, T frames, H, W pixels; L tokens with the class token, V visible
tokens, D width, C' width of the teacher, Y returned layers.

Source: Li et al., "VideoMamba: State Space Model for Efficient Video Understanding", 2024, section
3.3, after Li et al., "Unmasked Teacher", 2023; keys and semantics of the official
`videomamba_pretrain.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.errors import JobError
from vfeat.models.videomamba import AddRMSNorm, Trunk
from vfeat.models.videomamba_config import VideoMambaConfig

LastLayer = Literal["entering", "normalised"]
PERIOD = 10000  # period of the slowest sinusoid, in tokens over 2π


@dataclass(frozen=True, kw_only=True)
class MaskedConfig(VideoMambaConfig):
    """Configuration of a masked model: the trunk's, and that of the alignment decoders.

    Attributes:
        output_dim: width C' of the teacher's tokens.
        return_layers: Y, number of layers that are compared with the teacher; the last one
            included.
        return_interval: distance between two of them, in layers.
        last_layer: output of the last layer: `entering`, the stream that enters it, as in the
            official code, or `normalised`, its output after the norm.
    """

    output_dim: int
    return_layers: int = 1
    return_interval: int = 1
    last_layer: LastLayer = "entering"

    @property
    def returned(self) -> list[int]:
        """Indices of the blocks whose tokens are returned, ascending."""
        last = self.depth - 1
        return sorted(last - k * self.return_interval for k in range(self.return_layers))


class MaskedVideoMamba(Trunk):
    """The trunk with alignment decoders, which are dropped after pre-training.

    Raises:
        JobError: more layers to return than there are, or blocks that scan temporal-first, which
            need the same patches in every time step.
    """

    config: MaskedConfig

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__(config)
        self.returned = config.returned
        if config.return_layers < 1 or config.return_interval < 1 or self.returned[0] < 0:
            raise JobError(
                f"A masked model of depth {config.depth} cannot return {config.return_layers} "
                f"layers at intervals of {config.return_interval}; give smaller ones, from 1"
            )
        if config.temporal_every:
            raise JobError("A masked model scans over space first: leave temporal_every at 0")
        self.norm = AddRMSNorm(config.embed_dim)
        self.clip_decoder = nn.ModuleList(
            AlignmentDecoder(config.embed_dim, config.output_dim) for _ in self.returned
        )
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        places_LD = sinusoids(config.num_tokens, config.embed_dim)
        self.register_buffer("places_LD", places_LD, persistent=False)

    def forward(self, video_BCTHW: Tensor, mask_BL: Tensor) -> Tensor:
        """Predict the teacher's tokens at the visible positions, from each returned layer.

        Args:
            mask_BL: bool, True for masked tokens; each row masks the same number.

        Returns:
            Unit vectors (Y, B, V, C'), earlier layers first, tokens in order.

        Raises:
            JobError: a mask of another shape, or rows with unequal numbers of masked tokens.
        """
        tokens_BVD = visible(self.embed(video_BCTHW), mask_BL)
        places_BLD = self.get_buffer("places_LD").expand(len(tokens_BVD), -1, -1)
        places_BVD = visible(places_BLD, mask_BL)
        layers = zip(self.clip_decoder, self._layers(tokens_BVD), strict=True)
        return torch.stack([decoder(layer_BVD + places_BVD) for decoder, layer_BVD in layers])

    def _layers(self, tokens_BVD: Tensor) -> Iterator[Tensor]:
        """Yield the tokens (B, V, D) of each returned layer."""
        for index, (hidden_BVD, residual_BVD) in enumerate(self.blocks(tokens_BVD)):
            if index in self.returned:
                yield self._layer(index, hidden_BVD, residual_BVD)

    def _layer(self, index: int, hidden_BVD: Tensor, residual_BVD: Tensor) -> Tensor:
        """Return the tokens (B, V, D) that a returned layer is compared by."""
        if self.config.last_layer == "entering" and index == len(self.layers) - 1:
            return residual_BVD
        return cast(Tensor, self.norm(hidden_BVD, residual_BVD)[0])


class AlignmentDecoder(nn.Module):
    """Projection of one layer's tokens to the teacher's width, normalised to unit length."""

    def __init__(self, width: int, output_dim: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, output_dim)
        self.norm = nn.LayerNorm(output_dim)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens_BVD: Tensor) -> Tensor:
        """Project tokens (B, V, D) to unit vectors (B, V, C')."""
        return F.normalize(self.project(tokens_BVD), dim=-1)

    def project(self, tokens_BVD: Tensor) -> Tensor:
        """Project tokens (B, V, D) to the teacher's width (B, V, C')."""
        return cast(Tensor, self.norm(self.head(tokens_BVD)))


def visible(tokens_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Select the tokens that the mask leaves visible.

    Args:
        tokens_BLD: all tokens, the class token first.
        mask_BL: bool, True for masked tokens.

    Returns:
        Tokens (B, V, D), in order.

    Raises:
        JobError: a mask of another shape, or rows with unequal numbers of masked tokens.
    """
    if mask_BL.shape != tokens_BLD.shape[:2]:
        raise JobError(
            f"A mask of shape {tuple(tokens_BLD.shape[:2])} is wanted, the class token first; "
            f"this one is {tuple(mask_BL.shape)}"
        )
    seen_BL = ~mask_BL.bool()
    counts_B = seen_BL.sum(1)
    if (counts_B != counts_B[:1]).any():
        raise JobError(
            "A mask hides as many tokens of each clip; this one leaves "
            f"{int(counts_B.min())} to {int(counts_B.max())} visible"
        )
    return tokens_BLD[seen_BL].view(len(tokens_BLD), -1, tokens_BLD.shape[2])


def sinusoids(length: int, width: int) -> Tensor:
    """Compute the sinusoidal position embedding, sines and cosines alternating.

    Args:
        length: number of tokens.
        width: width of a token.

    Returns:
        (length, width), float32.
    """
    place_L1 = torch.arange(length, dtype=torch.float64)[:, None]
    pair_D = torch.arange(width) // 2
    angle_LD = place_L1 / PERIOD ** (2 * pair_D / width).double()
    even_D = torch.arange(width) % 2 == 0
    return torch.where(even_D, angle_LD.sin(), angle_LD.cos()).float()
