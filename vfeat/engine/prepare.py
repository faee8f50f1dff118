"""From a job to a recipe and a dataset root, or a refusal that says why."""

from __future__ import annotations

import json

from vfeat.errors import EnvironmentMissing, JobError
from vfeat.job.fingerprint import Recipe
from vfeat.job.spec import ExtractJob
from vfeat.media.decoder import check_decoder
from vfeat.models.registry import VideoMambaConfig, resolve_config
from vfeat.models.weights import stored_config, weights_digest
from vfeat.plan.estimate import Estimate, from_model, from_run
from vfeat.plan.shards import ShardLimits
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.schema import RowShape


def make_recipe(job: ExtractJob) -> Recipe:
    """Everything that decides the numbers.

    Raises:
        JobError: unknown model or decoder, or a model option that does not exist.
        EnvironmentMissing: no weights, or a decoder whose package is missing.
    """
    row_shape(job)  # refuses an unknown model or a size that its patches do not divide
    if job.weights is None:
        raise EnvironmentMissing(
            f"{job.model} needs weights: give --weights PATH, s3://..., or "
            "hf://owner/repo/file (the official .pth files are read as published); "
            "--weights random takes an untrained model, for trying things out"
        )
    check_decoder(job.decoder)
    return Recipe(
        job.model_spec, weights_digest(job.weights), job.clip_spec, job.frame_spec, job.output_spec
    )


def row_shape(job: ExtractJob) -> RowShape:
    """Widths of a row, without loading the model."""
    config = _config(job)
    if job.size % config.patch_size or job.num_frames % config.tubelet_size:
        raise JobError(
            f"{job.model} cuts frames into patches of {config.patch_size} pixels and tubelets of "
            f"{config.tubelet_size} frames: --size {job.size} and --num-frames {job.num_frames} "
            "must be multiples"
        )
    patches = (job.size // config.patch_size) ** 2
    return RowShape(config.embed_dim, job.num_frames // config.tubelet_size, patches)


def _config(job: ExtractJob) -> VideoMambaConfig:
    options = {"num_frames": job.num_frames, "img_size": job.size, **job.model_options}
    stored = stored_config(job.weights) if job.weights else None
    return resolve_config(job.model, options, stored)


def estimate(job: ExtractJob, root: Root, *, gpu: bool, workers: int, decoders: int) -> Estimate:
    """From what an earlier run measured here, else from a built-in figure."""
    for name in reversed(layout.run_names(root.list(layout.RUNS))):
        run = json.loads(root.read_bytes(f"{layout.RUNS}/{name}"))
        if run.get("encode_s", 0) > 1 and run.get("encoded_clips", 0) > 0:
            return from_run(
                run["run"], run["encoded_clips"], run["encode_s"],
                workers=workers, decoders=decoders,
            )  # fmt: skip
    config, shape = _config(job), row_shape(job)
    tokens = (1 + shape.steps * shape.patches) * job.crops
    return from_model(
        tokens, config.embed_dim, config.depth, gpu=gpu, workers=workers, decoders=decoders
    )


def shard_limits(job: ExtractJob) -> ShardLimits:
    """The job's bounds, in seconds and rows."""
    size = row_shape(job).bytes_per_clip(job.output_spec)
    return ShardLimits(job.shard_minutes * 60, max(1, (job.shard_megabytes << 20) // size))
