"""Outline of a job's model, for planning, without loading it."""

from __future__ import annotations

from dataclasses import dataclass

from vfeat.errors import EnvironmentMissing, JobError
from vfeat.job.recipe import ClipSpec, FlipSpec, FrameSpec, ModelSpec
from vfeat.job.spec import ExtractJob
from vfeat.models.packaged import in_box
from vfeat.models.retrieval.config import RetrievalConfig
from vfeat.models.retrieval.preparation import RETRIEVAL_CLIP, RETRIEVAL_FRAME
from vfeat.models.train_record import tested_flips, trained_on
from vfeat.models.videomamba_config import (
    MOTION,
    VideoMambaConfig,
    has_text_side,
    model_info,
    resolve_config,
)
from vfeat.models.vit import PREFIX, VIT, is_vit, read_vit
from vfeat.models.weights import stored_config, weights_digest
from vfeat.tables.schema import RowShape

TINY = "videomamba_tiny"


@dataclass(frozen=True)
class ModelOutline:
    """Sizes and settings of a model, as planning needs them.

    Attributes:
        model: what a worker loads.
        classes: outputs of its head, K; None where it names its own classes (vit:).
        clip: the grid, with its own frames and seconds where the job says nothing.
        frame: how frames reach it, with its own size and normalisation.
        shape: widths of a row.
        tokens: length of one view's forward pass.
        depth: number of layers.
        flips: of a clip, which its labels are taken from too.
    """

    model: ModelSpec
    classes: int | None
    clip: ClipSpec
    frame: FrameSpec
    shape: RowShape
    tokens: int
    depth: int
    flips: tuple[FlipSpec, ...] = ()


def outline(job: ExtractJob) -> ModelOutline:
    """Work out the model that the job names.

    Raises:
        JobError: an unknown model or option, or a size that its patches do not divide.
        EnvironmentMissing: its configuration cannot be had.
    """
    name, weights = chosen(job)
    if is_vit(name):
        return _vit_outline(job, name)
    return _videomamba_outline(job, name, weights)


def chosen(job: ExtractJob) -> tuple[str, str | None]:
    """Return name and weights of the model; by default those in the package.

    Raises:
        JobError: an unknown model.
    """
    packaged = job.weights is None and in_box(MOTION)
    name = job.model or (MOTION if packaged else TINY)
    own = None if is_vit(name) else model_info(name).weights
    return name, own if job.weights is None else job.weights


def model_digest(job: ExtractJob) -> str:
    """Compute what identifies the weights; local files are read whole.

    Raises:
        EnvironmentMissing: no weights are named, or they are not there.
    """
    name, weights = chosen(job)
    if is_vit(name):
        return read_vit(name.removeprefix(PREFIX)).files.digest()
    if weights is None:
        raise EnvironmentMissing(
            f"{name} needs weights: give --weights PATH, s3://..., or "
            "hf://owner/repo/file (the official .pth files are read as published); "
            "--weights random takes an untrained model, for trying things out"
        )
    return weights_digest(weights)


def _videomamba_outline(job: ExtractJob, name: str, weights: str | None) -> ModelOutline:
    words = has_text_side(name)
    defaults = (RETRIEVAL_CLIP, RETRIEVAL_FRAME) if words else (ClipSpec(), FrameSpec())
    own_clip, own_frame = trained_on(weights, *defaults)
    clip, frame = job.clip_spec(own_clip), job.frame_spec(own_frame)
    options = {"num_frames": clip.num_frames, "img_size": frame.size, **job.model_options}
    stored = stored_config(weights) if weights else None
    config = resolve_config(name, options, stored)
    if frame.fit == "squash" and frame.crops == 3:
        raise JobError("--crops 3 cuts along the long side of a picture: it needs --fit crop")
    if frame.size % config.patch_size or clip.num_frames % config.tubelet_size:
        raise JobError(
            f"{name} cuts frames into patches of {config.patch_size} pixels and tubelets of "
            f"{config.tubelet_size} frames: --size {frame.size} and --num-frames "
            f"{clip.num_frames} must be multiples"
        )
    patches = (frame.size // config.patch_size) ** 2
    shape = RowShape(
        _embedding_width(job, name, config), clip.num_frames // config.tubelet_size, patches
    )
    spec = ModelSpec(name, weights, tuple(sorted(job.model_options.items())))
    tokens = 1 + shape.steps * shape.patches
    flips = _flips(job, name, weights, config.num_classes)
    return ModelOutline(spec, config.num_classes, clip, frame, shape, tokens, config.depth, flips)


def _embedding_width(job: ExtractJob, name: str, config: VideoMambaConfig) -> int:
    """Return the width of a row's embedding: of the joint space where the model has one.

    Raises:
        JobError: tokens are asked for, which are of another width then.
    """
    if not isinstance(config, RetrievalConfig):
        return config.embed_dim
    if job.tokens != "none":
        raise JobError(
            f"--tokens: {name} embeds clips beside sentences, in another space than its tokens; "
            "leave it out (re-ranking decodes its candidates again)"
        )
    return config.joint_dim


def _flips(job: ExtractJob, name: str, weights: str | None, classes: int) -> tuple[FlipSpec, ...]:
    """Return the flips of the weights, unless the job turns them off; they change labels only."""
    if job.flips is False or not job.top_k:
        return ()
    own = tested_flips(weights)
    if job.flips and not own:
        raise JobError(
            f"--flips: nothing is known of flips beside the weights of {name}; a training with "
            "--test-flips writes it into train.json. Leave out --flips"
        )
    for flip in own:
        if len(flip.becomes) != classes:
            raise JobError(
                f"{weights}/train.json: flips.{flip.flip} is of {len(flip.becomes)} classes, the "
                f"head of {classes}"
            )
    return own


def _vit_outline(job: ExtractJob, name: str) -> ModelOutline:
    """Outline a vision transformer: its checkpoint stands for the weights; it has no options."""
    for flag, value in (
        ("--weights", job.weights),
        ("--model-option", job.model_options or None),
        ("--labels", job.label_names),
        ("--flips", job.flips or None),
    ):
        if value is not None:
            raise JobError(
                f"{name} names its checkpoint, weights, classes and all: leave out {flag}"
            )
    info = read_vit(name.removeprefix(PREFIX))
    clip = job.clip_spec(ClipSpec())
    frame = job.frame_spec(FrameSpec(info.size, mean=info.mean, std=info.std))
    if frame.size % info.patch_size:
        raise JobError(
            f"{name} cuts frames into patches of {info.patch_size} pixels: "
            f"--size {frame.size} must be a multiple"
        )
    shape = RowShape(info.width, clip.num_frames, info.tokens(frame.size))
    tokens = shape.steps * shape.patches
    spec = ModelSpec(VIT, info.files.pinned)
    return ModelOutline(spec, None, clip, frame, shape, tokens, info.depth)
