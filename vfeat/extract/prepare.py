"""Recipe, row shape, estimate and limits of a job."""

from __future__ import annotations

import json

from vfeat.extract.class_labels import with_labels
from vfeat.extract.model_outline import ModelOutline, model_digest
from vfeat.job.fingerprint import Recipe
from vfeat.job.spec import ExtractJob
from vfeat.media.decoders.base import check_decoder
from vfeat.plan.estimate import Estimate, from_model, from_run
from vfeat.plan.shards import ShardLimits
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.schema import RowShape


def make_recipe(job: ExtractJob, described: ModelOutline) -> Recipe:
    """Return everything that decides the numbers.

    Args:
        described: the outline of the job's model.

    Raises:
        JobError: unknown decoder, or another number of class names than of classes.
        EnvironmentMissing: no weights or class names, or a decoder whose package is missing.
    """
    digest = model_digest(job)
    check_decoder(job.decoder)
    model, labels = with_labels(job, described)
    clip, frame = described.clip, described.frame
    return Recipe(model, digest, clip, frame, job.output_spec, labels=labels, flips=described.flips)


def estimate(
    job: ExtractJob, model: ModelOutline, root: Root, *, gpu: bool, workers: int, decoders: int
) -> Estimate:
    """Make the estimate from what an earlier run measured here, else from a built-in figure."""
    for name in reversed(layout.run_names(root.list(layout.RUNS))):
        run = json.loads(root.read_bytes(f"{layout.RUNS}/{name}"))
        if run.get("encode_s", 0) > 1 and run.get("encoded_clips", 0) > 0:
            return from_run(
                run["run"], run["encoded_clips"], run["encode_s"],
                workers=workers, decoders=decoders,
            )  # fmt: skip
    return from_model(
        model.tokens * job.crops * (1 + len(model.flips)), model.shape.dim, model.depth,
        gpu=gpu, workers=workers, decoders=decoders,
    )  # fmt: skip


def shard_limits(job: ExtractJob, shape: RowShape) -> ShardLimits:
    """Return the job's bounds of a shard, in seconds and rows."""
    size = shape.bytes_per_clip(job.output_spec)
    return ShardLimits(job.shard_minutes * 60, max(1, (job.shard_megabytes << 20) // size))
