"""Where a job runs, decided before anything is started."""

from __future__ import annotations

import os

from vfeat.engine.executor import Executor
from vfeat.engine.inline_executor import InlineExecutor
from vfeat.job.spec import DecodeOn, Placement


def uses_gpu(job: Placement) -> bool:
    """Estimate whether workers will have GPUs, before any is started."""
    return job.device != "cpu" and os.path.exists("/dev/nvidia0")


def make_executor(job: Placement, decode_on: DecodeOn = "auto") -> Executor:
    """Make the executor that the job names; Ray is imported only for Ray.

    Args:
        decode_on: nodes that get feeders, if the job's workers can be fed.
    """
    if job.executor == "inline":
        return InlineExecutor(has_gpu=uses_gpu(job))
    from vfeat.engine.cluster_executor import ClusterExecutor, ClusterSettings
    from vfeat.engine.ray_machines import RayMachines

    settings = ClusterSettings(job.actors, job.gpus_per_actor, job.device, decode_on)
    return ClusterExecutor(RayMachines(job.address), settings, is_local=job.address is None)
