"""Clip and frame settings that a folder's weights were trained on: defaults of an extraction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from vfeat.errors import JobError
from vfeat.job.recipe import FLIP_DIMENSION, ClipSpec, Fit, FlipSpec, FrameSpec, Resize
from vfeat.models.weights import TRAIN_FILE, parse_config, read_beside, stored_config

_MOST = 1 << 31  # of frames, seconds or pixels; infinity and what is no number are beyond it


def trained_on(
    weights: str | None, clip: ClipSpec | None = None, frame: FrameSpec | None = None
) -> tuple[ClipSpec, FrameSpec]:
    """Return the settings that the weights were trained on; the model's where none are recorded.

    `config.json` beside the weights holds frames and size; `train.json`, which `vfeat train
    encoder` writes, also holds the seconds of a clip and how frames are resized.

    Args:
        weights: see `vfeat.models.weights`; None for the defaults.
        clip, frame: the model's defaults; None for those of VideoMamba's classifiers.

    Raises:
        JobError: one of the files is damaged.
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    clip, frame = clip or ClipSpec(), frame or FrameSpec()
    if weights is None:
        return clip, frame
    config = stored_config(weights) or {}
    where, train = _train_file(weights)
    clips, frames = _part(where, train, "clip"), _part(where, train, "frame")
    num_frames = clips.get("num_frames", config.get("num_frames") or clip.num_frames)
    clip_s = clips.get("clip_s", clip.clip_s)
    size = frames.get("size", config.get("img_size", frame.size))
    resize = frames.get("resize", frame.resize)
    for name, value in (("num_frames", num_frames), ("clip_s", clip_s), ("size", size)):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value < _MOST:
            raise JobError(f"{where} or config.json beside it: {name} is {value!r}")
    if resize not in get_args(Resize):
        raise JobError(f"{where}: resize is {resize!r}, not one of {', '.join(get_args(Resize))}")
    if (fit := frames.get("fit", frame.fit)) not in get_args(Fit):
        raise JobError(f"{where}: fit is {fit!r}, not one of {', '.join(get_args(Fit))}")
    grid = ClipSpec(int(num_frames), float(clip_s), float(clip_s))
    return grid, replace(frame, size=int(size), resize=resize, fit=fit)


def tested_flips(weights: str | None) -> tuple[FlipSpec, ...]:
    """Return the test-time flips with which the weights were evaluated after training.

    Raises:
        JobError: `train.json` is damaged.
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    if weights is None:
        return ()
    where, train = _train_file(weights)
    found = _part(where, train, "flips")
    for flip, becomes in found.items():
        if flip not in FLIP_DIMENSION or not _exchanges(becomes):
            raise JobError(
                f"{where}: flips.{flip} is not one of {', '.join(FLIP_DIMENSION)} with the index "
                "that each class becomes"
            )
    return tuple(FlipSpec(flip, tuple(found[flip])) for flip in FLIP_DIMENSION if flip in found)


def _exchanges(becomes: Any) -> bool:
    """Check that the value is a permutation of the numbers from 0 on."""
    if not isinstance(becomes, list) or not all(type(index) is int for index in becomes):
        return False
    return sorted(becomes) == list(range(len(becomes)))


def _train_file(weights: str) -> tuple[str, Mapping[str, Any]]:
    """Return the path of `train.json` and its content; an empty one if there is no file."""
    content = read_beside(weights, TRAIN_FILE)
    where = f"{weights.rstrip('/')}/{TRAIN_FILE}"
    return where, {} if content is None else parse_config(where, content)


def _part(where: str, train: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = train.get(name, {})
    if not isinstance(part, dict):
        raise JobError(f"{where}: {name} is {part!r}, not an object")
    return part
