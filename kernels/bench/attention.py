"""The alternative to VideoMamba: attention over the same tokens.

Pre-norm layers, heads of 64, MLP of 4, no class token. Attention is torch's
scaled_dot_product_attention, which uses flash attention on a GPU in bfloat16.

Shape suffixes: B clips, T frames, S patches of a frame, D width; X any batch, L tokens.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .videomamba import Patches

Kind = Literal["frames", "divided", "joint"]
HEAD = 64


class Attention(nn.Module):
    """Self-attention within each row of the batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x_XLD: Tensor) -> Tensor:
        """Return the update to be added to x."""
        heads = max(1, x_XLD.shape[-1] // HEAD)
        qkv = self.qkv(self.norm(x_XLD)).unflatten(-1, (3, heads, -1))
        q, k, v = qkv.movedim(-3, 0).transpose(-3, -2).unbind()
        mixed = F.scaled_dot_product_attention(q, k, v)
        return cast(Tensor, self.project(mixed.transpose(-3, -2).flatten(-2)))


class Layer(nn.Module):
    """Attention over the tokens that the kind couples, then the MLP."""

    def __init__(self, width: int, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.attention = Attention(width)
        self.over_time = Attention(width) if kind == "divided" else None
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_BTSD: Tensor) -> Tensor:
        """Apply the layer; the shape stays the same."""
        if self.over_time is not None:
            along_time = self.over_time(x_BTSD.transpose(1, 2).flatten(0, 1))
            x_BTSD = x_BTSD + along_time.view(x_BTSD.transpose(1, 2).shape).transpose(1, 2)
        shape, rows = x_BTSD.shape, (1, 2) if self.kind == "joint" else (0, 1)
        x_BTSD = x_BTSD + self.attention(x_BTSD.flatten(*rows)).view(shape)
        return x_BTSD + cast(Tensor, self.mlp(x_BTSD))


class AttentionModel(nn.Module):
    """Patches of 16 by 16, layers, mean over tokens: (B, 3, T, H, W) to (B, D)."""

    def __init__(self, width: int, depth: int, frames: int, kind: Kind, size: int = 224) -> None:
        super().__init__()
        self.patches = Patches(width)
        self.position = nn.Parameter(torch.zeros(1, frames, (size // 16) ** 2, width))
        self.layers = nn.Sequential(*(Layer(width, kind) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """Return the features of each clip."""
        x_BTSD = self.patches(video_BCTHW) + self.position
        return cast(Tensor, self.norm(self.layers(x_BTSD)).mean((1, 2)))
