"""The clips and frames that a folder's weights were trained on: defaults of an extraction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from vfeat.errors import JobError
from vfeat.job.recipe import ClipSpec, FrameSpec, Resize
from vfeat.models.weights import TRAIN_FILE, parse_config, read_beside, stored_config


def trained_on(weights: str | None) -> tuple[ClipSpec, FrameSpec]:
    """What the weights were trained on; where they do not say, what VideoMamba was.

    `config.json` beside them says frames and size; `train.json`, which `vfeat train encoder`
    writes, also the seconds of a clip and how frames are resized.

    Raises:
        JobError: one of the files is damaged.
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    clip, frame = ClipSpec(), FrameSpec()
    if weights is None:
        return clip, frame
    config = stored_config(weights) or {}
    content = read_beside(weights, TRAIN_FILE)
    where = f"{weights.rstrip('/')}/{TRAIN_FILE}"
    train = {} if content is None else parse_config(where, content)
    clips, frames = _part(where, train, "clip"), _part(where, train, "frame")
    num_frames = clips.get("num_frames", config.get("num_frames") or clip.num_frames)
    clip_s = clips.get("clip_s", clip.clip_s)
    size = frames.get("size", config.get("img_size", frame.size))
    resize = frames.get("resize", frame.resize)
    for name, value in (("num_frames", num_frames), ("clip_s", clip_s), ("size", size)):
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise JobError(f"{where} or config.json beside it: {name} is {value!r}")
    if resize not in get_args(Resize):
        raise JobError(f"{where}: resize is {resize!r}, not one of {', '.join(get_args(Resize))}")
    return ClipSpec(int(num_frames), float(clip_s), float(clip_s)), FrameSpec(int(size), resize)


def _part(where: str, train: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = train.get(name, {})
    if not isinstance(part, dict):
        raise JobError(f"{where}: {name} is {part!r}, not an object")
    return part
