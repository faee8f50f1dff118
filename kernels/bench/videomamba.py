"""VideoMamba with the kernels given from outside, for the benchmarks.

The official composition lays in_proj's output out channel-major and never transposes
it; ours stays token-major. Both read the same weights.

Shape suffixes: B clips, T frames, L tokens, D width, E = 2D channels of the scan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pixels import Patch, cut
from ..weights import DirectionWeights

Bidirectional = Callable[[Tensor, DirectionWeights, DirectionWeights], Tensor]
Linear = Callable[[Tensor, Tensor, Tensor | None], Tensor]
AddNorm = Callable[[Tensor, Tensor | None, Tensor, float], tuple[Tensor, Tensor]]
STATES, TAPS, EPSILON = 16, 4, 1e-5
PATCH = 16


class Size(NamedTuple):
    """Dimensions of a published model."""

    name: str
    width: int
    depth: int

    @property
    def rank(self) -> int:
        """Rank of the time step."""
        return -(-self.width // 16)


SIZES = (Size("tiny", 192, 24), Size("small", 384, 24), Size("middle", 576, 32))


def tokens(frames: int, side: int = 224) -> int:
    """Return the length of a clip's sequence: a token for each patch, and the class token."""
    return frames * (side // PATCH) ** 2 + 1


class Kernels(NamedTuple):
    """One side of the comparison.

    Attributes:
        channel_major: `bidirectional` takes and gives (B, channels, L).
        linear: for in_proj and out_proj.
    """

    name: str
    bidirectional: Bidirectional
    add_norm: AddNorm
    channel_major: bool = False
    linear: Linear = F.linear


def random_direction(size: Size) -> DirectionWeights:
    """Draw weights with Mamba's initial distribution of A and of time steps."""
    channels = 2 * size.width
    steps = torch.empty(channels).uniform_(-6.9, -2.3).exp()
    return DirectionWeights(
        torch.randn(channels, TAPS) / 2,
        torch.randn(channels) / 10,
        torch.randn(size.rank + 2 * STATES, channels) / channels**0.5,
        torch.randn(channels, size.rank) * size.rank**-0.5 / 4,
        steps + torch.log(-torch.expm1(-steps)),
        torch.arange(1.0, STATES + 1).log().repeat(channels, 1),
        torch.ones(channels),
    )


class Block(nn.Module):
    """in_proj, both scans, out_proj."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.in_proj = nn.Linear(size.width, 4 * size.width, bias=False)
        self.out_proj = nn.Linear(2 * size.width, size.width, bias=False)
        self.norm = nn.Parameter(torch.ones(size.width))
        for side in ("forward", "backward"):
            for name, tensor in random_direction(size)._asdict().items():
                self.register_buffer(f"{side}_{name}", tensor)

    def direction(self, side: str) -> DirectionWeights:
        """Return one direction's weights; the scan's own weights stay float32."""
        fields = DirectionWeights._fields
        return DirectionWeights(*(getattr(self, f"{side}_{name}") for name in fields))

    def mix(self, x_BLD: Tensor, kernels: Kernels) -> Tensor:
        """Run the block between the norm and the residual."""
        weights = self.direction("forward"), self.direction("backward")
        if not kernels.channel_major:
            xz_BL2E = kernels.linear(x_BLD, self.in_proj.weight, None)
            y_BLE = kernels.bidirectional(xz_BL2E, *weights)
            return kernels.linear(y_BLE, self.out_proj.weight, None)
        batch, length, _ = x_BLD.shape
        xz = self.in_proj.weight.to(x_BLD.dtype) @ x_BLD.flatten(0, 1).t()
        xz_B2EL = xz.view(len(xz), batch, length).transpose(0, 1)
        return cast(Tensor, self.out_proj(kernels.bidirectional(xz_B2EL, *weights).mT))


class Patches(nn.Linear):
    """Projection of patches of one frame: one product, which every library computes fast."""

    def __init__(self, width: int) -> None:
        super().__init__(3 * PATCH**2, width)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """Return the tokens (B, T, S, D)."""
        rows = cut(video_BCTHW, Patch(1, PATCH, PATCH))
        return super().forward(rows)


class Model(nn.Module):
    """Patches, blocks, class token: (B, 3, T, H, W) to (B, D), in the dtype of the input."""

    def __init__(self, size: Size, frames: int, side: int = 224) -> None:
        super().__init__()
        self.patches = Patches(size.width)
        self.token = nn.Parameter(torch.randn(1, 1, size.width) / 50)
        self.position = nn.Parameter(torch.randn(1, tokens(frames, side), size.width) / 50)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.depth))
        self.norm = nn.Parameter(torch.ones(size.width))

    def narrow(self, dtype: torch.dtype) -> Model:
        """Convert GEMM weights to `dtype`; the scan's stay float32."""
        for name, parameter in self.named_parameters():
            if "norm" not in name:
                parameter.data = parameter.data.to(dtype)
        return self

    def forward(self, video_BCTHW: Tensor, kernels: Kernels) -> Tensor:
        """Return the normalised class token."""
        tokens_BLD = self.patches(video_BCTHW).flatten(1, 2)
        token = self.token.expand(len(tokens_BLD), -1, -1)
        hidden, residual = torch.cat([token, tokens_BLD], 1) + self.position, None
        dtype = hidden.dtype
        for block in self.blocks:
            weight = cast(Tensor, block.norm).to(dtype)
            normed, residual = kernels.add_norm(hidden, residual, weight, EPSILON)
            hidden = cast(Block, block).mix(normed, kernels)
        assert residual is not None  # depth is at least 1
        return kernels.add_norm(hidden[:, :1], residual[:, :1], self.norm.to(dtype), EPSILON)[0][
            :, 0
        ]
