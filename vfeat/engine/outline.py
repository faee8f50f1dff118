"""What planning must know of a job's model, without loading it."""

from __future__ import annotations

from dataclasses import dataclass

from vfeat.errors import EnvironmentMissing, JobError
from vfeat.job.recipe import FrameSpec, ModelSpec
from vfeat.job.spec import ExtractJob
from vfeat.models.registry import resolve_config
from vfeat.models.vit import PREFIX, VIT, is_vit, read_vit
from vfeat.models.weights import stored_config, weights_digest
from vfeat.tables.schema import RowShape

VIDEOMAMBA_SIZE = 224


@dataclass(frozen=True)
class ModelOutline:
    """A model as a plan sees it.

    Attributes:
        model: what a worker loads.
        frame: how frames reach it, with its own size and normalisation.
        shape: widths of a row.
        tokens: length of one view's forward pass.
        depth: number of layers.
    """

    model: ModelSpec
    frame: FrameSpec
    shape: RowShape
    tokens: int
    depth: int


def outline(job: ExtractJob) -> ModelOutline:
    """The model that the job names.

    Raises:
        JobError: an unknown model or option, or a size that its patches do not divide.
        EnvironmentMissing: its configuration cannot be had.
    """
    return _vit_outline(job) if is_vit(job.model) else _videomamba_outline(job)


def model_digest(job: ExtractJob) -> str:
    """What identifies the weights; reads them whole where they are local.

    Raises:
        EnvironmentMissing: no weights are named, or they are not there.
    """
    if is_vit(job.model):
        return read_vit(job.model.removeprefix(PREFIX)).files.digest()
    if job.weights is None:
        raise EnvironmentMissing(
            f"{job.model} needs weights: give --weights PATH, s3://..., or "
            "hf://owner/repo/file (the official .pth files are read as published); "
            "--weights random takes an untrained model, for trying things out"
        )
    return weights_digest(job.weights)


def _videomamba_outline(job: ExtractJob) -> ModelOutline:
    size = VIDEOMAMBA_SIZE if job.size is None else job.size
    options = {"num_frames": job.num_frames, "img_size": size, **job.model_options}
    stored = stored_config(job.weights) if job.weights else None
    config = resolve_config(job.model, options, stored)
    if size % config.patch_size or job.num_frames % config.tubelet_size:
        raise JobError(
            f"{job.model} cuts frames into patches of {config.patch_size} pixels and tubelets of "
            f"{config.tubelet_size} frames: --size {size} and --num-frames {job.num_frames} "
            "must be multiples"
        )
    patches = (size // config.patch_size) ** 2
    shape = RowShape(config.embed_dim, job.num_frames // config.tubelet_size, patches)
    spec = ModelSpec(job.model, job.weights, tuple(sorted(job.model_options.items())))
    tokens = 1 + shape.steps * shape.patches
    return ModelOutline(spec, job.frame_spec(size), shape, tokens, config.depth)


def _vit_outline(job: ExtractJob) -> ModelOutline:
    """The checkpoint's place stands where VideoMamba has its weights; it has no options."""
    if job.weights is not None or job.model_options:
        given = "--weights" if job.weights is not None else "--model-option"
        raise JobError(f"{job.model} names its checkpoint, weights and all: leave out {given}")
    info = read_vit(job.model.removeprefix(PREFIX))
    size = info.size if job.size is None else job.size
    if size % info.patch_size:
        raise JobError(
            f"{job.model} cuts frames into patches of {info.patch_size} pixels: "
            f"--size {size} must be a multiple"
        )
    shape = RowShape(info.width, job.num_frames, info.tokens(size))
    frame = job.frame_spec(size, info.mean, info.std)
    tokens = shape.steps * shape.patches
    return ModelOutline(ModelSpec(VIT, info.files.pinned), frame, shape, tokens, info.depth)
