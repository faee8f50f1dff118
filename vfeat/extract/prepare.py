"""Recipe, row shape, estimate and limits of a job."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

from vfeat.engine.executor import Capacity
from vfeat.extract.class_labels import with_labels
from vfeat.extract.model_outline import ModelOutline, model_digest
from vfeat.extract.spec import decoder_children
from vfeat.job.fingerprint import Recipe
from vfeat.job.spec import ExtractJob
from vfeat.media.decoders.base import check_decoder
from vfeat.media.shots.detectors import installed_version
from vfeat.plan.estimate import Estimate, ModelWork, make_estimate, measured
from vfeat.plan.shards import ShardLimits
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.schema import RowShape

_RUNS = 20  # the last ones, of which one may have measured something


def make_recipe(job: ExtractJob, described: ModelOutline) -> Recipe:
    """Return everything that decides the numbers.

    Args:
        described: the outline of the job's model.

    Raises:
        JobError: unknown decoder, or another number of class names than of classes.
        EnvironmentMissing: no weights or class names, or a decoder or a shot detector whose package
            is missing.
    """
    digest = model_digest(job)
    check_decoder(job.decoder)
    model, labels = with_labels(job, described)
    clip, frame = described.clip, described.frame
    if clip.shots is not None:
        version = installed_version(clip.shots.detector)
        clip = replace(clip, shots=replace(clip.shots, version=version))
    return Recipe(model, digest, clip, frame, job.output_spec, labels=labels, flips=described.flips)


def estimate(job: ExtractJob, model: ModelOutline, root: Root, machines: Capacity) -> Estimate:
    """Make the estimate from what an earlier run measured here, else from built-in figures.

    Args:
        machines: where the job is to run.
    """
    tokens = model.tokens * job.crops * (1 + len(model.flips))
    work = ModelWork(tokens, model.shape.dim, model.depth, machines.has_gpu, machines.cores)
    runs = (
        measured(json.loads(root.read_bytes(f"{layout.RUNS}/{name}")))
        for name in islice(reversed(layout.run_names(root.list(layout.RUNS))), _RUNS)
    )
    run = next(filter(None, runs), None)
    return make_estimate(
        model.clip, work, run, workers=machines.workers, decoders=_decoders(job, machines)
    )


def _decoders(job: ExtractJob, machines: Capacity) -> int:
    """Return the decoder children that work for one actor, on its own machine and on others."""
    own = decoder_children(job.decode_workers, machines.cores, gpu=machines.has_gpu)
    wanted = job.decode_workers
    others = wanted * machines.feeders if wanted else machines.feeder_cores
    return own + others // machines.workers


def shard_limits(job: ExtractJob, shape: RowShape) -> ShardLimits:
    """Return the job's bounds of a shard, in seconds and rows."""
    size = shape.bytes_per_clip(job.output_spec)
    return ShardLimits(job.shard_minutes * 60, max(1, (job.shard_megabytes << 20) // size))
