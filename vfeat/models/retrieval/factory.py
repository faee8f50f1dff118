"""Construction of a dual encoder, fresh or from an official checkpoint.

A checkpoint of the official code is read as published: wrapped as `model` or `module`, with the
teacher of its training beside the model, or fine-tuned, where the text side has no head for hidden
words and no `bert.` in its names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.models.adapt import Shapes, State, check_state, fit_state
from vfeat.models.checkpoint import load_checkpoint
from vfeat.models.construction import fitting, seeded
from vfeat.models.retrieval.config import RetrievalConfig
from vfeat.models.retrieval.network import Retrieval
from vfeat.models.videomamba_config import model_info, resolve_config
from vfeat.models.weights import RANDOM

Held = TypeVar("Held", Tensor, torch.Size)
VIDEO, TEXT = "vision_encoder.", "text_encoder."
# In checkpoints only: the teacher, and numbers of positions, which the network counts itself.
DROPPED = ("clip_teacher.", f"{VIDEO}clip_teacher.", f"{TEXT}bert.embeddings.position_ids")
# Parts for training alone, which keep fresh values where a checkpoint lacks them.
TRAINING = (f"{TEXT}cls.", f"{VIDEO}clip_decoder.")
OPTIONS = "embed_dim, depth, patch_size, tubelet_size, text_dim, text_depth, fusion_layer, ..."


def create_retrieval(name: str, *, weights: str | None = None, **config: Any) -> Retrieval:
    """Create a dual encoder, on the CPU, in float32 and in training mode.

    Args:
        name: `videomamba_middle_mm`, or `videomamba_mm` for any size.
        weights: None for fresh values from torch's own random state; `random` for values that are
            the same in every process; or the location of a checkpoint.
        **config: fields of `RetrievalConfig`. A field that is not given comes from the folder's
            `config.json`, then from the preset.

    Raises:
        JobError: an unknown name or option, a model without a text side, or weights that do not
            fit.
        EnvironmentMissing: the weights do not exist.
        StorageError: the weights cannot be read.
    """
    if not isinstance(model_info(name).config, RetrievalConfig):
        raise JobError(f"{name} has no text side; videomamba_middle_mm and videomamba_mm have one")
    if weights is None:
        return Retrieval(_resolved(name, config))
    if weights == RANDOM:
        resolved = _resolved(name, config)
        return seeded(lambda: Retrieval(resolved))
    checkpoint = load_checkpoint(weights)
    with fitting(weights):
        resolved = _resolved(name, config, checkpoint.config)
    model = seeded(lambda: Retrieval(resolved))
    model.load_state_dict(_fitted(weights, checkpoint.state, model))
    return model


def _resolved(
    name: str, config: dict[str, Any], stored: dict[str, Any] | None = None
) -> RetrievalConfig:
    resolved = resolve_config(name, config, stored)
    assert isinstance(resolved, RetrievalConfig)
    return resolved


def _fitted(uri: str, found: State, model: Retrieval) -> State:
    """Return the model's state dict in float32, from a checkpoint's tensors.

    Raises:
        JobError: a tensor is missing, unexpected, or of a shape that cannot be fitted.
    """
    own = model.state_dict()
    shapes: Shapes = {key: tensor.shape for key, tensor in own.items()}
    state = {key: tensor for key, tensor in own.items() if key.startswith(TRAINING)}
    for key, tensor in found.items():
        name = _official(key)
        fits = name not in state or state[name].shape == tensor.shape
        if not name.startswith(DROPPED) and fits:
            state[name] = tensor.to(torch.float32)
    video = fit_state(uri, _inside(state), _inside(shapes))
    rest = {key: tensor for key, tensor in state.items() if not key.startswith(VIDEO)}
    state = {**rest, **{f"{VIDEO}{key}": tensor for key, tensor in video.items()}}
    check_state(uri, state, shapes, OPTIONS)
    return state


def _official(key: str) -> str:
    """Return the name that pre-training gives a tensor of a fine-tuned text side."""
    part = key.removeprefix(TEXT)
    plain = key.startswith(TEXT) and not part.startswith(("bert.", "cls."))
    return f"{TEXT}bert.{part}" if plain else key


def _inside(named: Mapping[str, Held]) -> dict[str, Held]:
    """Return what belongs to the video side, under its own names."""
    return {key.removeprefix(VIDEO): value for key, value in named.items() if key.startswith(VIDEO)}
