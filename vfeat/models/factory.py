"""The only constructor of models: a name, its options and its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Literal, TypeVar, overload

import torch

from vfeat.errors import JobError
from vfeat.models.adapt import TRAINING_PARTS, fit_head, fit_state
from vfeat.models.checkpoint import load_checkpoint
from vfeat.models.construction import fitting, seeded
from vfeat.models.distilled import Student, StudentConfig
from vfeat.models.masked import LastLayer, MaskedConfig, MaskedVideoMamba
from vfeat.models.optical_flow_head import FlowReader
from vfeat.models.videomamba import VideoMamba
from vfeat.models.videomamba_config import (
    VideoMambaConfig,
    has_text_side,
    model_info,
    resolve_config,
)
from vfeat.models.vis4mer import ViS4mer
from vfeat.models.vis4mer_config import HEADS, resolve_head
from vfeat.models.weights import RANDOM

Variant = TypeVar("Variant", Student, MaskedVideoMamba, FlowReader)


@overload
def create_model(
    name: Literal["vis4mer"], *, weights: str | None = ..., **config: Any
) -> ViS4mer: ...
@overload
def create_model(name: str, *, weights: str | None = ..., **config: Any) -> VideoMamba: ...
def create_model(name: str, *, weights: str | None = None, **config: Any) -> VideoMamba | ViS4mer:
    """Create a model of `videomamba_config.MODELS` or `vis4mer_config.HEADS`.

    The model is on the CPU, in float32 and in training mode, as torch modules are.

    Args:
        name: for example `videomamba_tiny`, `videomamba` for any size, or `vis4mer`.
        weights: None for the weights in the package if the name has any, else fresh ones from
            torch's own random state; `random` for values that are the same in every process; or the
            location of a checkpoint, see `vfeat.models.weights`. Embeddings are resized, an image
            checkpoint is inflated, and a head with another number of classes is dropped with a
            warning.
        **config: fields of `VideoMambaConfig` or `Vis4merConfig`. A field that is not given comes
            from the folder's `config.json`, then from the preset.

    Raises:
        JobError: an unknown name or option, or weights that do not fit.
        EnvironmentMissing: the weights do not exist.
        StorageError: the weights cannot be read.
    """
    if name in HEADS:
        return _create_head(weights, config)
    packaged = model_info(name).weights  # an unknown name is refused before a long download
    _refuse_text_side(name)
    weights = packaged if weights is None else weights
    if weights is None:
        return VideoMamba(resolve_config(name, config))
    if weights == RANDOM:
        resolved = resolve_config(name, config)
        return seeded(lambda: VideoMamba(resolved))
    checkpoint = load_checkpoint(weights)
    with fitting(weights):
        resolved = resolve_config(name, config, stored=checkpoint.config)
    with torch.device("meta"):  # no time spent on values that are replaced
        model = VideoMamba(resolved)
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    model.load_state_dict(fit_state(weights, checkpoint.state, shapes), assign=True)
    return model


def _refuse_text_side(name: str) -> None:
    if has_text_side(name):
        raise JobError(f"{name} is no classifier; vfeat.models.create_retrieval makes it")


def _create_head(weights: str | None, config: Mapping[str, Any]) -> ViS4mer:
    """Create a ViS4mer; see `create_model`."""
    if weights is None:
        return ViS4mer(resolve_head(config))
    if weights == RANDOM:
        resolved = resolve_head(config)
        return seeded(lambda: ViS4mer(resolved))
    checkpoint = load_checkpoint(weights, keep=("encoder.weight", "encoder.bias"))
    with fitting(weights):
        resolved = resolve_head(config, checkpoint.config)
    with torch.device("meta"):
        model = ViS4mer(resolved)
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    model.load_state_dict(fit_head(weights, checkpoint.state, shapes, resolved), assign=True)
    return model


def create_student(
    name: str, teacher_embed_dim: int, *, weights: str | None = None, **config: Any
) -> Student:
    """Create a VideoMamba with a projection to the width of a teacher's tokens; see `create_model`.

    The projection is fresh if the weights have none, or one for another teacher.

    Args:
        teacher_embed_dim: width of the teacher's tokens.
    """

    def make(trunk: VideoMambaConfig) -> Student:
        return Student(StudentConfig(**asdict(trunk), teacher_embed_dim=teacher_embed_dim))

    return _create_variant(make, name, weights, config)


def create_flow_reader(name: str, *, weights: str | None = None, **config: Any) -> FlowReader:
    """Create a VideoMamba that also predicts optical flow from its tokens; see `create_model`."""
    return _create_variant(FlowReader, name, weights, config)


def create_masked(
    name: str,
    output_dim: int,
    *,
    return_layers: int = 1,
    return_interval: int = 1,
    last_layer: LastLayer = "entering",
    weights: str | None = None,
    **config: Any,
) -> MaskedVideoMamba:
    """Create a VideoMamba without head and with alignment decoders; see `create_model`.

    The decoders are fresh if the weights have none, or decoders for another teacher.

    Args:
        output_dim: width of the teacher's tokens.
        return_layers, return_interval, last_layer: see `MaskedConfig`.
    """

    def make(trunk: VideoMambaConfig) -> MaskedVideoMamba:
        fields = {**asdict(trunk), "num_classes": 0, "output_dim": output_dim}
        return MaskedVideoMamba(
            MaskedConfig(
                **fields,
                return_layers=return_layers,
                return_interval=return_interval,
                last_layer=last_layer,
            )
        )

    return _create_variant(make, name, weights, config)


def _create_variant(
    make: Callable[[VideoMambaConfig], Variant],
    name: str,
    weights: str | None,
    config: Mapping[str, Any],
) -> Variant:
    model_info(name)  # before a long download
    _refuse_text_side(name)
    if weights is None:
        return make(resolve_config(name, config))
    if weights == RANDOM:
        resolved = resolve_config(name, config)
        return seeded(lambda: make(resolved))
    checkpoint = load_checkpoint(weights)
    with fitting(weights):
        resolved = resolve_config(name, config, stored=checkpoint.config)
    model = make(resolved)
    # Training-only parts of another shape keep their fresh values; all else is fitted.
    own = model.state_dict()
    state = {key: tensor for key, tensor in own.items() if key.startswith(TRAINING_PARTS)}
    for key, tensor in checkpoint.state.items():
        if key not in state or state[key].shape == tensor.shape:
            state[key] = tensor
    shapes = {key: tensor.shape for key, tensor in own.items()}
    model.load_state_dict(fit_state(weights, state, shapes))
    return model
