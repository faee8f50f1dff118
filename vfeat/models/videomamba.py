"""VideoMamba, in the shapes and with the state-dict keys of the official code.

    patches -> class token, position and time embeddings
            -> depth x [add + RMSNorm -> in_proj -> both scans -> out_proj]
            -> add + RMSNorm -> class token -> head

The class token stands first. Tokens run over patches within a time step, then over time; a
block that scans temporal-first takes them in the other order and gives them back in this one.

Shape suffixes: B batch, C colours, T frames, H, W pixels; T' time steps of tokens,
S patches of one time step, L = 1 + T'·S tokens, D width, E = 2D channels of the scan,
K classes.

Source: Li et al., "VideoMamba: State Space Model for Efficient Video Understanding", 2024.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vfeat import ops
from vfeat.errors import JobError
from vfeat.models.pixels import Pixels
from vfeat.models.videomamba_config import VideoMambaConfig

EPSILON = 1e-5


class Trunk(nn.Module):
    """Embedding and blocks, which all variants share; each variant adds its final norm and heads.

    Attributes carry the official names, which are the checkpoint's keys.
    """

    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embed_dim
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.grid**2 + 1, width))
        if config.num_frames is not None:
            self.temporal_pos_embedding = nn.Parameter(torch.zeros(1, config.tubelets, width))
        self.layers = nn.ModuleList(
            Block(config, config.temporal_first(index)) for index in range(config.depth)
        )

    def embed(self, video_BCTHW: Tensor | Pixels) -> Tensor:
        """Embed the video as tokens (B, L, D), the input of the first block."""
        patches_BTSD = self.patch_embed(self._checked(video_BCTHW))
        patches_BTSD = patches_BTSD + self.pos_embed[:, 1:]
        if self.config.num_frames is not None:
            patches_BTSD = patches_BTSD + self.temporal_pos_embedding[:, :, None]
        class_11D = self.cls_token + self.pos_embed[:, :1]
        tokens_BLD = patches_BTSD.flatten(1, 2)
        return torch.cat([class_11D.expand(len(tokens_BLD), -1, -1), tokens_BLD], dim=1)

    def blocks(self, tokens_BLD: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Run the blocks; after each, yield its output and the residual not yet added to it."""
        hidden_BLD, residual_BLD = tokens_BLD, None
        for block in self.layers:
            hidden_BLD, residual_BLD = block(hidden_BLD, residual_BLD)
            assert residual_BLD is not None
            yield hidden_BLD, residual_BLD

    def _checked(self, video: Tensor | Pixels) -> Tensor | Pixels:
        """Return the input with a time dimension; raise if its shape is wrong."""
        frames, size = self.config.num_frames or 1, self.config.img_size
        if isinstance(video, Tensor) and video.dim() == 4 and frames == 1:
            video = video.unsqueeze(2)
        expected = (self.config.channels, frames, size, size)
        if tuple(video.shape[1:]) != expected:
            raise JobError(
                f"The model takes video of shape (batch, {', '.join(map(str, expected))}), that "
                f"is (B, C, T, H, W); this one is {tuple(video.shape)}"
            )
        return video


class VideoMamba(Trunk):
    """The network with its classification head."""

    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__(config)
        self.norm_f = AddRMSNorm(config.embed_dim)
        classes = config.num_classes
        self.head = nn.Linear(config.embed_dim, classes) if classes else nn.Identity()
        # Drawn after the head, so that `random` weights keep the values they have always had.
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if isinstance(self.head, nn.Linear):
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """Classify clips.

        Args:
            video_BCTHW: normalised pixels.

        Returns:
            Logits (B, K), or the class token (B, D) of a model without a head.

        Raises:
            JobError: the video has another shape than the model's.
        """
        return cast(Tensor, self.head(self.forward_features(video_BCTHW)))

    def forward_features(self, video_BCTHW: Tensor | Pixels) -> Tensor:
        """Embed clips.

        Args:
            video_BCTHW: normalised pixels, or uint8 ones that the first layer normalises.

        Returns:
            The normalised class token (B, D).
        """
        hidden_BLD, residual_BLD = self._last_block(video_BCTHW)
        # Only the class token is read, and the norm treats each token alone.
        token_B1D, _ = self.norm_f(hidden_BLD[:, :1], residual_BLD[:, :1])
        return cast(Tensor, token_B1D[:, 0])

    def forward_tokens(self, video_BCTHW: Tensor | Pixels) -> Tensor:
        """Embed clips token by token.

        Args:
            video_BCTHW: as for `forward_features`.

        Returns:
            All normalised tokens (B, 1 + T'·S, D), the class token first.
        """
        return cast(Tensor, self.norm_f(*self._last_block(video_BCTHW))[0])

    def _last_block(self, video_BCTHW: Tensor | Pixels) -> tuple[Tensor, Tensor]:
        """Return the last block's output and the residual not yet added to it."""
        return deque(self.blocks(self.embed(video_BCTHW)), maxlen=1).pop()  # there is one


class PatchEmbed(nn.Module):
    """Projection of tubelets of pixels to tokens; `proj` is two-dimensional in the image model."""

    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__()
        self.proj: nn.Conv2d | nn.Conv3d
        square = (config.patch_size, config.patch_size)
        if config.num_frames is None:
            self.proj = nn.Conv2d(config.channels, config.embed_dim, square, square)
        else:
            tubelet = (config.tubelet_size, *square)
            self.proj = nn.Conv3d(config.channels, config.embed_dim, tubelet, tubelet)

    def forward(self, video_BCTHW: Tensor | Pixels) -> Tensor:
        """Project the video to tokens (B, T', S, D)."""
        if self.proj.weight.is_cuda:
            return self.product(video_BCTHW)
        if isinstance(video_BCTHW, Pixels):
            video_BCTHW = video_BCTHW.video(self.proj.weight.dtype)
        if isinstance(self.proj, nn.Conv2d):
            return cast(Tensor, self.proj(video_BCTHW[:, :, 0]).flatten(2).mT[:, None])
        return cast(Tensor, self.proj(video_BCTHW).flatten(3).permute(0, 2, 3, 1))

    def product(self, video_BCTHW: Tensor | Pixels) -> Tensor:
        """Project by one matrix product, which is the same, since patches do not overlap.

        For GPUs: cuDNN's three-dimensional convolutions are slower than cuBLAS, and take a video in
        another order than that of a decoder's pixels.
        """
        patch = ops.Patch(*(1, *self.proj.kernel_size)[-3:])
        if isinstance(video_BCTHW, Pixels):
            rows_BTSR = video_BCTHW.rows(patch, self._dtype())
        else:
            rows_BTSR = ops.cut(video_BCTHW, patch)
        return ops.linear(rows_BTSR, self.proj.weight.flatten(1), self.proj.bias)

    def _dtype(self) -> torch.dtype:
        """Return the dtype of the product, which autocast may have chosen."""
        kind = self.proj.weight.device.type
        autocast = torch.is_autocast_enabled(kind)
        return torch.get_autocast_dtype(kind) if autocast else self.proj.weight.dtype


class Block(nn.Module):
    """Add, normalise, mix. The mixer's output is added to the stream by the next block.

    Attributes:
        drop_path: share of clips that skip the mixer in training, in [0, 1).
        checkpointed: recompute activations in the backward pass of training instead of keeping
            them.
    """

    drop_path: float = 0.0
    checkpointed: bool = False

    def __init__(self, config: VideoMambaConfig, temporal_first: bool = False) -> None:
        super().__init__()
        self.mixer = BidirectionalMamba(config)
        self.norm = AddRMSNorm(config.embed_dim)
        self.tubelets = config.tubelets if temporal_first else None

    def forward(
        self, hidden_BLD: Tensor, residual_BLD: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Add the previous block's output to the stream, normalise and mix.

        Args:
            hidden_BLD: output of the previous block's mixer, or the embedded tokens.
            residual_BLD: the stream before that output; None in the first block.

        Returns:
            The mixer's output, not yet added, and the residual that it belongs to.
        """
        if self.checkpointed and torch.is_grad_enabled():
            mixed = checkpoint(self._mixed, hidden_BLD, residual_BLD, use_reentrant=False)
        else:
            mixed = self._mixed(hidden_BLD, residual_BLD)
        mixed_BLD, summed_BLD = cast(tuple[Tensor, Tensor], mixed)
        if self.training and self.drop_path:
            mixed_BLD = drop_clips(mixed_BLD, self.drop_path)
        return mixed_BLD, summed_BLD

    def _mixed(self, hidden_BLD: Tensor, residual_BLD: Tensor | None) -> tuple[Tensor, Tensor]:
        normed_BLD, summed_BLD = self.norm(hidden_BLD, residual_BLD)
        if self.tubelets is None:
            return self.mixer(normed_BLD), summed_BLD
        patches = (normed_BLD.shape[1] - 1) // self.tubelets
        mixed_BLD = self.mixer(transposed(normed_BLD, self.tubelets))
        return transposed(mixed_BLD, patches), summed_BLD


def transposed(tokens_BLD: Tensor, rows: int) -> Tensor:
    """Transpose the tokens after the class token from rows to columns.

    Args:
        tokens_BLD: the class token, then `rows` rows of equal length.
        rows: number of rows.

    Returns:
        (B, L, D), the class token first.
    """
    class_B1D, rest_BLD = tokens_BLD[:, :1], tokens_BLD[:, 1:]
    B, L, D = rest_BLD.shape
    columns_BLD = rest_BLD.reshape(B, rows, L // rows, D).transpose(1, 2).flatten(1, 2)
    return torch.cat([class_B1D, columns_BLD], dim=1)


def drop_clips(hidden_BLD: Tensor, share: float) -> Tensor:
    """Zero a random share of the clips and scale the others up, so that the mean stays.

    Args:
        hidden_BLD: output of a mixer.
        share: probability of a clip to be zeroed, in [0, 1).
    """
    kept_B11 = hidden_BLD.new_empty(len(hidden_BLD), 1, 1).bernoulli_(1 - share)
    return hidden_BLD * kept_B11.div_(1 - share)


class AddRMSNorm(nn.Module):
    """Addition to the residual stream, followed by RMS normalisation.

    The stream is float32 whatever the input (float64 for float64): a bfloat16 stream alone would
    triple the model's error.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(
        self, hidden_BLD: Tensor, residual_BLD: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Add and normalise.

        Args:
            hidden_BLD: values to add.
            residual_BLD: the stream so far; None before the first block.

        Returns:
            The normalised sum, in the dtype of the weight, and the sum itself.
        """
        return ops.add_rms_norm(hidden_BLD, residual_BLD, self.weight, EPSILON)


class BidirectionalMamba(nn.Module):
    """Mamba in both directions with shared in_proj and out_proj; `_b` runs backward.

    The convolutions and projections are modules only for the sake of their official names and
    initial values; `ops.bidirectional_mamba` reads their weights.
    """

    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__()
        width, channels = config.embed_dim, config.inner_dim
        rank, states = config.dt_rank, config.states
        self.in_proj = nn.Linear(width, 2 * channels, bias=False)
        self.out_proj = nn.Linear(channels, width, bias=False)
        for suffix in ("", "_b"):
            conv = nn.Conv1d(channels, channels, config.conv_taps, groups=channels)
            setattr(self, f"conv1d{suffix}", conv)
            setattr(self, f"x_proj{suffix}", nn.Linear(channels, rank + 2 * states, bias=False))
            setattr(self, f"dt_proj{suffix}", nn.Linear(rank, channels))
            A_log_EN = torch.arange(1, states + 1, dtype=torch.float32).log().repeat(channels, 1)
            setattr(self, f"A{suffix}_log", nn.Parameter(A_log_EN))
            setattr(self, f"D{suffix}", nn.Parameter(torch.ones(channels)))
        _initialise(self, config.depth)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        xz_BL2E = ops.linear(x_BLD, self.in_proj.weight)
        y_BLE = ops.bidirectional_mamba(xz_BL2E, self.direction(""), self.direction("_b"))
        return ops.linear(y_BLE, self.out_proj.weight)

    def direction(self, suffix: str) -> ops.DirectionWeights:
        """Return one direction's weights: `""` forward in time, `"_b"` backward."""
        conv, dt_proj = getattr(self, f"conv1d{suffix}"), getattr(self, f"dt_proj{suffix}")
        return ops.DirectionWeights(
            conv_weight_EW=conv.weight[:, 0],
            conv_bias_E=conv.bias,
            x_proj_weight=getattr(self, f"x_proj{suffix}").weight,
            dt_weight_ER=dt_proj.weight,
            dt_bias_E=dt_proj.bias,
            A_log_EN=getattr(self, f"A{suffix}_log"),
            D_E=getattr(self, f"D{suffix}"),
        )


@torch.no_grad()
def _initialise(mixer: BidirectionalMamba, depth: int) -> None:
    """Set Mamba's initial values; out_proj shrinks with depth, as each block adds to the stream.

    Time steps start log-uniform in [0.001, 0.1]. The official VideoMamba sets them so and then
    zeroes the bias by accident, which makes every channel forget at once.
    """
    nn.init.trunc_normal_(mixer.in_proj.weight, std=0.02)
    nn.init.kaiming_uniform_(mixer.out_proj.weight, a=math.sqrt(5))
    mixer.out_proj.weight /= math.sqrt(depth)
    for weights in (mixer.direction(""), mixer.direction("_b")):
        nn.init.trunc_normal_(weights.x_proj_weight, std=0.02)
        nn.init.uniform_(weights.dt_weight_ER, -(weights.rank**-0.5), weights.rank**-0.5)
        dt_E = torch.empty_like(weights.dt_bias_E).uniform_(math.log(1e-3), math.log(0.1)).exp()
        weights.dt_bias_E.copy_(dt_E + torch.log(-torch.expm1(-dt_E)))  # softplus inverted
