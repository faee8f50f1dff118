"""VideoMamba that sees some tokens only and says what a teacher makes of them.

    all tokens -> the visible ones -> blocks -> the last layers' normalised tokens
               -> + sinusoids of their places -> a decoder for each layer -> unit vectors

The official code returns, for the last layer, the stream as it enters the last block: neither that
block nor the final norm learns anything from it. `last_layer="normalised"` returns what is meant.

Shape suffixes: B batch, C colours, T frames, H, W pixels; L tokens with the class token, V those
that are visible, D width, C' width of the teacher, Y returned layers.

Source: Li et al., "VideoMamba: State Space Model for Efficient Video Understanding", 2024,
section 3.3, after Li et al., "Unmasked Teacher", 2023; keys and semantics of the official
`videomamba_pretrain.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.errors import JobError
from vfeat.models.videomamba import AddRMSNorm, Trunk
from vfeat.models.videomamba_config import VideoMambaConfig

LastLayer = Literal["entering", "normalised"]
PERIOD = 10000  # of the slowest sinusoid, in tokens over 2π


@dataclass(frozen=True, kw_only=True)
class MaskedConfig(VideoMambaConfig):
    """Of a masked model.

    Attributes:
        output_dim: width C' of the teacher's tokens.
        return_layers: Y, how many layers are compared with the teacher; the last is one.
        return_interval: layers from one of them to the next.
        last_layer: what is returned of the last: the stream that enters it, as the official code
            has it, or what leaves it, normalised.
    """

    output_dim: int
    return_layers: int = 1
    return_interval: int = 1
    last_layer: LastLayer = "entering"

    @property
    def returned(self) -> list[int]:
        """Numbers of the blocks whose tokens are returned, ascending."""
        last = self.depth - 1
        return sorted(last - k * self.return_interval for k in range(self.return_layers))


class MaskedVideoMamba(Trunk):
    """The trunk with alignment decoders, which are dropped after pre-training.

    Raises:
        JobError: more layers to return than there are, or blocks that scan over time first,
            for which every time step must have the same patches.
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
        """What the returned layers say of the visible tokens.

        Args:
            mask_BL: bool, True for the hidden tokens; as many in each row.

        Returns:
            Vectors of length one (Y, B, V, C'), earlier layers first, tokens in order.

        Raises:
            JobError: a mask of another shape, or rows with unequal numbers of hidden tokens.
        """
        tokens_BVD = visible(self.embed(video_BCTHW), mask_BL)
        places_BLD = self.get_buffer("places_LD").expand(len(tokens_BVD), -1, -1)
        places_BVD = visible(places_BLD, mask_BL)
        layers = zip(self.clip_decoder, self._layers(tokens_BVD), strict=True)
        return torch.stack([decoder(layer_BVD + places_BVD) for decoder, layer_BVD in layers])

    def _layers(self, tokens_BVD: Tensor) -> Iterator[Tensor]:
        """The returned layers' tokens (B, V, D)."""
        as_official = self.config.last_layer == "entering"
        for index, (hidden_BVD, residual_BVD) in enumerate(self.blocks(tokens_BVD)):
            if as_official and index == len(self.layers) - 1:
                yield residual_BVD
            elif index in self.returned:
                yield self.norm(hidden_BVD, residual_BVD)[0]


class AlignmentDecoder(nn.Module):
    """One layer's tokens to the teacher's width, normalised to length one."""

    def __init__(self, width: int, output_dim: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, output_dim)
        self.norm = nn.LayerNorm(output_dim)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens_BVD: Tensor) -> Tensor:
        """(B, V, D) to (B, V, C')."""
        return F.normalize(self.norm(self.head(tokens_BVD)), dim=-1)


def visible(tokens_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """The tokens (B, V, D) where the mask is False, in order.

    Raises:
        JobError: a mask of another shape, or rows with unequal numbers of hidden tokens.
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
    """Sines and cosines of a token's place, alternating (L, D), float32."""
    place_L1 = torch.arange(length, dtype=torch.float64)[:, None]
    pair_D = torch.arange(width) // 2
    angle_LD = place_L1 / PERIOD ** (2 * pair_D / width).double()
    even_D = torch.arange(width) % 2 == 0
    return torch.where(even_D, angle_LD.sin(), angle_LD.cos()).float()
