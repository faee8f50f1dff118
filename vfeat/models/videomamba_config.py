"""Model presets, their sizes and the cost of a clip; imports no torch.

Source of the presets: Li et al., "VideoMamba: State Space Model for Efficient Video Understanding",
2024, table 1, and the official repository for `base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from vfeat.errors import EnvironmentMissing, JobError, did_you_mean
from vfeat.models.packaged import SCHEME
from vfeat.models.retrieval.config import RetrievalConfig, text_parameters
from vfeat.models.videomamba_shape import VideoMambaConfig as VideoMambaConfig
from vfeat.models.weights import stored_config

IMAGE_CLASSES = 1000  # ImageNet-1k
MOTION = "videomamba_motion"
MAY_BE_ZERO = ("num_classes", "temporal_every")
# Far beyond any model, so that a damaged config.json asks for no more memory than there is.
MOST = {
    "depth": 1000,
    "embed_dim": 1 << 14,
    "num_classes": 1 << 20,
    "text_depth": 1000,
    "text_dim": 1 << 14,
    "vocabulary": 1 << 20,
}
MOST_OTHERS = 1 << 16
MOST_PATCHES = 1 << 20  # of a frame


@dataclass(frozen=True)
class ModelInfo:
    """One line of `vfeat models`.

    Attributes:
        name: value of `--model` and first argument of `create_model`.
        description: one line for a person.
        config: configuration without any option of the user.
        fixed: the fields that the name stands for; weights never change them.
        weights: default weights; None for fresh ones.
    """

    name: str
    description: str
    config: VideoMambaConfig
    fixed: frozenset[str] = frozenset()
    weights: str | None = None


def _preset(name: str, depth: int, embed_dim: int, description: str) -> ModelInfo:
    config = VideoMambaConfig(depth=depth, embed_dim=embed_dim, num_frames=8)
    return ModelInfo(name, description, config, frozenset({"depth", "embed_dim"}))


MODELS: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        _preset("videomamba_tiny", 24, 192, "7 M parameters; good on a CPU"),
        _preset("videomamba_small", 24, 384, "26 M parameters"),
        _preset("videomamba_middle", 32, 576, "74 M parameters; the best published accuracy"),
        _preset(
            "videomamba_base", 24, 768, "98 M parameters; official code, few published weights"
        ),
        ModelInfo("videomamba", "any size, everything from the configuration", VideoMambaConfig()),
        ModelInfo(
            "videomamba_middle_mm",
            "words and video: VideoMamba-M with BERT-base",
            RetrievalConfig(depth=32, embed_dim=576, num_frames=8),
            frozenset({"depth", "embed_dim", "num_classes"}),
        ),
        ModelInfo(
            "videomamba_mm",
            "words and video, any size",
            RetrievalConfig(num_frames=8),
            frozenset({"num_classes"}),
        ),
        ModelInfo(
            MOTION,
            "camera motion; weights in the package",
            VideoMambaConfig(num_frames=8),
            weights=f"{SCHEME}{MOTION}",
        ),
    )
}


def model_info(name: str) -> ModelInfo:
    """Look up a model by name.

    Raises:
        JobError: no such model; the message offers the nearest names.
    """
    if name in MODELS:
        return MODELS[name]
    hint = did_you_mean(name, MODELS) or f"there are {', '.join(MODELS)}"
    others = " Or vit:FOLDER, vit:owner/repo." if name.startswith("vit") else ""
    raise JobError(f"There is no model {name!r}; {hint}{others}")


def resolve_config(
    name: str, config: Mapping[str, Any], stored: Mapping[str, Any] | None = None
) -> VideoMambaConfig:
    """Return the full configuration: the user's values, then the weights' own, then the preset's.

    Args:
        name: a model of `MODELS`.
        config: the user's values, by field of `VideoMambaConfig`, or of `RetrievalConfig` where
            the model has a text side.
        stored: the configuration stored beside the weights, if any.

    Raises:
        JobError: an unknown model or field, or a value that is not possible.
    """
    info = model_info(name)
    known = [field.name for field in fields(info.config)]
    for key in config:
        if key not in known:
            hint = did_you_mean(key, known) or f"there are {', '.join(known)}"
            raise JobError(f"Model {name} has no option {key!r}; {hint}")
    inherited = {k: v for k, v in (stored or {}).items() if k in known and k not in info.fixed}
    given = {**inherited, **config}
    has_text = isinstance(info.config, RetrievalConfig)
    if not has_text and given.get("num_frames", info.config.num_frames) in (None, 0):
        given = {"num_classes": IMAGE_CLASSES, **given, "num_frames": None}
    resolved = replace(info.config, **given)
    _check_values(name, resolved)
    if isinstance(resolved, RetrievalConfig):
        resolved.check(name)
    return resolved


def has_text_side(name: str) -> bool:
    """Return whether a model of `MODELS` embeds sentences too."""
    return name in MODELS and isinstance(MODELS[name].config, RetrievalConfig)


def _check_values(name: str, config: VideoMambaConfig) -> None:
    """Check that values are whole and in range, and that one patch and one tubelet fit."""
    for field in fields(config):
        value, least = getattr(config, field.name), int(field.name not in MAY_BE_ZERO)
        if field.name == "num_frames" and value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise JobError(
                f"Model {name}: {field.name} is a whole number of at least {least}, not {value!r}"
            )
        if value > (most := MOST.get(field.name, MOST_OTHERS)):
            raise JobError(f"Model {name}: {field.name} is at most {most:,}, not {value!r:.40}")
    if config.grid**2 > MOST_PATCHES:
        raise JobError(
            f"Model {name}: img_size {config.img_size} makes {config.grid**2:,} patches of "
            f"{config.patch_size} pixels; at most {MOST_PATCHES:,} are possible"
        )
    if config.grid < 1:
        raise JobError(
            f"Model {name}: img_size {config.img_size} is smaller than one patch "
            f"({config.patch_size} pixels)"
        )
    if config.tubelets < 1:
        raise JobError(
            f"Model {name}: num_frames {config.num_frames} is less than one tubelet "
            f"({config.tubelet_size} frames)"
        )


def expanded_config(config: VideoMambaConfig, count: int) -> VideoMambaConfig:
    """Return the configuration of a model with `count` blocks more.

    Raises:
        JobError: more new blocks than it has, or new ones would change which of the others scan
            temporal-first.
    """
    if count > config.depth:
        raise JobError(
            f"new_blocks: {count} are more than the {config.depth} blocks of the weights"
        )
    deeper = replace(config, depth=config.depth + count)
    order = expanded_order(config.depth, count)
    if any(config.temporal_first(o) != deeper.temporal_first(i) for i, o in enumerate(order)):
        raise JobError(
            f"new_blocks: with temporal_every {config.temporal_every}, new blocks would change "
            "which of the others scan temporal-first; that goes with 0 and 1"
        )
    return deeper


def expanded_order(depth: int, count: int) -> list[int]:
    """Return each block's origin among the `depth` old ones.

    A new block follows the one that it copies. They are spread evenly; the last is at the end.
    """
    copied = {(number + 1) * depth // count - 1 for number in range(count)}
    return [block for block in range(depth) for _ in range(1 + (block in copied))]


def own_config(info: ModelInfo) -> VideoMambaConfig | None:
    """Return a model's default configuration; None if its weights are not installed."""
    if info.weights is None:
        return info.config
    try:
        return resolve_config(info.name, {}, stored_config(info.weights))
    except EnvironmentMissing:
        return None


def num_parameters(config: VideoMambaConfig) -> int:
    """Count the parameters of the whole model, head or text side included."""
    D, E, R, N = config.embed_dim, config.inner_dim, config.dt_rank, config.states
    time = 1 if config.num_frames is None else config.tubelet_size
    patch = (config.channels * time * config.patch_size**2 + 1) * D
    temporal = 0 if config.num_frames is None else config.tubelets * D
    direction = E * (config.conv_taps + 1) + (R + 2 * N) * E + (R + 1) * E + N * E + E
    block = D + 2 * E * D + E * D + 2 * direction
    head = (D + 1) * config.num_classes
    text = text_parameters(config) if isinstance(config, RetrievalConfig) else 0
    return patch + (config.grid**2 + 2) * D + temporal + config.depth * block + D + head + text


def clip_gflops(
    model: str | VideoMambaConfig, num_frames: int | None = None, size: int | None = None
) -> float:
    """Compute the work of one clip's forward pass in 10^9 operations; a multiply-add counts two.

    The papers' tables count a multiply-add once and leave out the scan, so their figures are about
    half as large.

    Args:
        model: a name of `MODELS`, or a configuration.
        num_frames, size: replace the configuration's own values.
    """
    config = model_info(model).config if isinstance(model, str) else model
    if num_frames is not None:
        config = replace(config, num_frames=num_frames)
    if size is not None:
        config = replace(config, img_size=size)
    D, E, R, N = config.embed_dim, config.inner_dim, config.dt_rank, config.states
    time = 1 if config.num_frames is None else config.tubelet_size
    patch = 2 * config.channels * time * config.patch_size**2 * D
    # For each (token, channel, state): dt·A, exp, dt·u·B (2), the update (2), C·h (2).
    scan = 8 * N * E
    direction = 2 * config.conv_taps * E + 2 * E * (R + 2 * N) + 2 * R * E + scan
    block = 2 * D * 2 * E + 2 * E * D + 2 * direction
    tokens = config.num_tokens
    head = 2 * D * config.num_classes
    return ((tokens - 1) * patch + tokens * config.depth * block + head) / 1e9
