"""The one way to make a model: a name, its options and its weights."""

from __future__ import annotations

from typing import Any

import torch

from vfeat.models.adapt import fit_state
from vfeat.models.checkpoint import load_checkpoint
from vfeat.models.registry import VideoMambaConfig, model_info, resolve_config
from vfeat.models.videomamba import VideoMamba
from vfeat.models.weights import RANDOM, RANDOM_SEED


def create_model(name: str, *, weights: str | None = None, **config: Any) -> VideoMamba:
    """A model of `vfeat.models.registry.MODELS`, on the CPU, in float32.

    Args:
        name: for example `videomamba_tiny`, or `videomamba` for any size.
        weights: None for fresh ones from torch's own random state; `random` for the same
            ones in every process; or where a checkpoint lies, see `vfeat.models.weights`.
            Embeddings are resized, an image checkpoint is inflated, a head of other
            classes is dropped with a warning.
        **config: fields of `VideoMambaConfig`; without them, a folder's own
            `config.json` counts, then the preset.

    Raises:
        JobError: an unknown name or option, or weights that do not fit.
        EnvironmentMissing: weights that are not there.
        StorageError: weights that cannot be read.
    """
    model_info(name)  # before a long download
    if weights is None:
        return VideoMamba(resolve_config(name, config))
    if weights == RANDOM:
        return _seeded(resolve_config(name, config))
    checkpoint = load_checkpoint(weights)
    with torch.device("meta"):  # no time spent on values that are replaced
        model = VideoMamba(resolve_config(name, config, stored=checkpoint.config))
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    model.load_state_dict(fit_state(weights, checkpoint.state, shapes), assign=True)
    return model


def _seeded(config: VideoMambaConfig) -> VideoMamba:
    """The same values in every process; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # Not torch.manual_seed, which would seed the GPUs' generators too.
        torch.default_generator.manual_seed(RANDOM_SEED)
        return VideoMamba(config)
