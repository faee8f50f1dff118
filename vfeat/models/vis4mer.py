"""ViS4mer's decoder: layers of S4, each halving the sequence and its width.

Shape suffixes: B batch, L steps (halved from layer to layer), D width (halved as well),
K outputs.

State-dict keys are those of the official repository. Source: Islam and Bertasius, "Long
Movie Clip Classification with State-Space Video Models", 2022, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat import ops
from vfeat.errors import JobError
from vfeat.models.s4 import S4Layer
from vfeat.models.step_mask import Presence, evened, pooled, zero_missing
from vfeat.models.vis4mer_config import Vis4merConfig

BLOCK_STEPS = 4096  # steps that stepwise parts process at once in evaluation; even


class ViS4mer(nn.Module):
    """Classifier of feature sequences: (B, L, d_input) to logits (B, d_output), for any L.

    A mask marks the present steps. A missing step is absent, not a zero feature: it puts nothing
    into any S4 layer (time passes and the states decay), and a pooled pair is the mean of its
    present steps, as is the last mean over time. Steps after a row's last one are padding, so a
    video has the same logits alone and padded.
    """

    def __init__(self, config: Vis4merConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Linear(config.d_input, config.d_model)
        width, l_max = config.d_model, config.l_max
        self.s4_layers, self.norms = nn.ModuleList(), nn.ModuleList()
        self.linears = nn.ModuleList()
        for _ in range(config.n_layers):
            self.s4_layers.append(S4Layer(width, l_max, config.dropout, config.kernel))
            self.norms.append(nn.LayerNorm(width))
            self.linears.append(nn.Linear(width, width // 2))
            width, l_max = width // 2, l_max // 2
        self.dropout = nn.Dropout1d(config.dropout)
        self.decoder = nn.Linear(width, config.d_output)

    def forward(self, sequence_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Return logits (B, K).

        Args:
            sequence_BLD: features in any floating dtype; values at missing steps have no effect,
                NaN included.
            mask_BL: bool, true where a step is present; None when all are.

        Raises:
            JobError: shapes that do not fit, or a row without a present step.
        """
        return cast(Tensor, self.decoder(self.forward_features(sequence_BLD, mask_BL)))

    def forward_features(self, sequence_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Embed sequences.

        Args:
            sequence_BLD, mask_BL: as in `forward`.

        Returns:
            The mean over time of the last layer, (B, d_model / 2^n_layers).

        Raises:
            JobError: as `forward`.
        """
        self._check(sequence_BLD, mask_BL)
        present = None if mask_BL is None else Presence.of(mask_BL)
        x_BLD = sequence_BLD.to(self.decoder.weight.dtype)
        if mask_BL is not None:
            x_BLD = zero_missing(x_BLD, mask_BL)
        if self.config.d_model != self.config.d_input:
            x_BLD = _by_blocks(self.encoder, x_BLD)
        for index in range(self.config.n_layers):
            x_BLD, present = self._layer(index, x_BLD, present)
        return x_BLD.mean(1) if present is None else present.mean(x_BLD)

    def parameter_groups(
        self, lr: float, s4_lr: float, weight_decay: float
    ) -> list[dict[str, Any]]:
        """Build the optimizer's groups: state spaces have their own rate and no weight decay.

        Args:
            lr: learning rate of all other parameters.
            s4_lr: learning rate of the state spaces.
            weight_decay: decay of all other parameters.
        """
        own = {id(p) for layer in self.s4_layers for p in cast(S4Layer, layer).kernel.parameters()}
        trained = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {
                "params": [p for p in trained if id(p) not in own],
                "lr": lr,
                "weight_decay": weight_decay,
            },
            {"params": [p for p in trained if id(p) in own], "lr": s4_lr, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def clear_cache(self) -> None:
        """Drop the kernels' spectra; they are built again when needed."""
        for layer in self.s4_layers:
            cast(S4Layer, layer).spectra.clear()

    def _layer(
        self, index: int, x_BLD: Tensor, present: Presence | None
    ) -> tuple[Tensor, Presence | None]:
        """Apply norm, S4, residual, pooling by two, linear to half the width, and GELU."""
        layer = cast(S4Layer, self.s4_layers[index])
        norm, linear = self.norms[index], cast(nn.Linear, self.linears[index])
        prenorm, masked = self.config.prenorm, present is not None

        def entering(x_BLD: Tensor, *masks: Tensor) -> Tensor:
            u_BLD = norm(x_BLD) if prenorm else x_BLD
            return zero_missing(u_BLD, *masks) if masks else u_BLD

        def leaving(y_BLD: Tensor, x_BLD: Tensor, *masks: Tensor) -> Tensor:
            z_BLD = layer.mix(y_BLD)
            if self.training:
                z_BLD = self.dropout(z_BLD.mT).mT
            x_BLD = z_BLD + x_BLD
            x_BLD = x_BLD if prenorm else norm(x_BLD)
            return F.gelu(ops.linear(pooled(x_BLD, *masks), linear.weight, linear.bias))

        masks: tuple[Tensor, ...] = () if present is None else (present.mask_BL,)
        u_BLD = _by_blocks(entering, x_BLD, *masks)
        y_BLD = layer.convolve(u_BLD, None if present is None else present.lengths_B)
        # Freed before the pointwise part allocates: a long sequence fills most of the memory.
        del u_BLD
        # Pooling needs whole pairs; the mask is padded like the values, so that they stay aligned.
        masks = tuple(evened(m[..., None], masked)[..., 0] for m in masks)
        x_BLD = _by_blocks(leaving, evened(y_BLD, masked), evened(x_BLD, masked), *masks)
        if present is None:
            return x_BLD, None
        present = present.halved()
        # The linear layer's bias made missing steps non-zero.
        return zero_missing(x_BLD, present.mask_BL), present

    def _check(self, sequence_BLD: Tensor, mask_BL: Tensor | None) -> None:
        """Raise unless the shapes fit."""
        shape, width = tuple(sequence_BLD.shape), self.config.d_input
        if len(shape) != 3 or shape[1] < 1 or shape[2] != width:
            raise JobError(
                f"The model takes sequences of shape (batch, steps, {width}) with at least one "
                f"step; this one is {shape}"
            )
        if mask_BL is None:
            return
        if mask_BL.dtype != torch.bool or tuple(mask_BL.shape) != shape[:2]:
            raise JobError(
                f"The mask is bool of shape {shape[:2]}, true where a step is there; this one is "
                f"{mask_BL.dtype} of shape {tuple(mask_BL.shape)}"
            )


def _by_blocks(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Apply a function of single steps or pairs to the whole sequence.

    Without gradients it runs one block of time at a time, so that intermediate results are small
    beside the sequence.
    """
    length = tensors[0].shape[1]
    if torch.is_grad_enabled() or length <= BLOCK_STEPS:
        return function(*tensors)
    blocks = [torch.split(t, BLOCK_STEPS, dim=1) for t in tensors]
    return torch.cat([function(*block) for block in zip(*blocks, strict=True)], dim=1)
