"""Outline of a training, computed without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vfeat.errors import JobError
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models.videomamba_config import (
    VideoMambaConfig,
    clip_gflops,
    expanded_config,
    num_parameters,
    resolve_config,
)
from vfeat.models.weights import RANDOM, find_weights, stored_config
from vfeat.train.encoder.data.clip_list import read_listing

TRAINING_PASSES = 3  # a backward pass costs two forward passes


@dataclass(frozen=True)
class Outline:
    """The answer to `--dry-run`.

    Attributes:
        videos: number of each class in each split.
        parameters: parameters of the network.
        gflops: forward pass of one clip, 10^9 operations.
        steps: steps of the optimizer, all epochs.
        petaflops: the whole training without validation, 10^15 operations.
    """

    videos: dict[str, dict[str, int]]
    parameters: int
    gflops: float
    steps: int
    petaflops: float

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def outline(job: TrainEncoderJob) -> Outline:
    """Compute the outline; reads the list and nothing else.

    Raises:
        JobError, EnvironmentMissing: as `train_encoder` would.
    """
    find_weights(job.weights)
    listing = read_listing(job.source, job.seed, labelled=job.labelled)
    config = check_shape(job, len(listing.classes))
    gflops = clip_gflops(config)
    clips = len(listing.splits["train"]) * job.repeats
    steps = job.epochs * -(-clips // job.batch_size)
    petaflops = job.epochs * clips * TRAINING_PASSES * gflops / 1e6
    return Outline(listing.counts(), num_parameters(config), gflops, steps, petaflops)


def model_fields(job: TrainEncoderJob, classes: int) -> dict[str, int]:
    """Return the network options that the job sets; without a head if nothing is classified."""
    outputs = 0 if job.objective == "masked" else classes
    fields = {"num_frames": job.num_frames, "img_size": job.size, "num_classes": outputs}
    return {**fields, **job.model_options}


def check_shape(job: TrainEncoderJob, classes: int) -> VideoMambaConfig:
    """Return the network's configuration.

    Raises:
        JobError: an unknown model or option, a size that its patches do not divide, or new blocks
            that are not possible.
    """
    stored = stored_config(job.weights) if job.weights not in (None, RANDOM) else None
    config = resolve_config(job.model, model_fields(job, classes), stored)
    if job.size % config.patch_size or job.num_frames % config.tubelet_size:
        raise JobError(
            f"{job.model} cuts frames into patches of {config.patch_size} pixels and tubelets of "
            f"{config.tubelet_size} frames: --size {job.size} and --num-frames {job.num_frames} "
            "must be multiples"
        )
    return expanded_config(config, job.new_blocks)
