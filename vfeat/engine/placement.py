"""Where a job runs, decided before anything is started."""

from __future__ import annotations

from vfeat.engine.executor import Executor
from vfeat.engine.inline_executor import InlineExecutor
from vfeat.engine.local_gpus import has_local_gpu
from vfeat.job.spec import DecodeOn, Placement


def make_executor(job: Placement, decode_on: DecodeOn = "auto") -> Executor:
    """Make the executor that the job names; Ray is imported only for Ray.

    Args:
        decode_on: nodes that get feeders, if the job's workers can be fed.
    """
    if job.executor == "inline":
        return InlineExecutor(has_gpu=has_local_gpu(job.device))
    from vfeat.engine.cluster_executor import ClusterExecutor, ClusterSettings
    from vfeat.engine.ray_machines import RayMachines
    from vfeat.engine.worker_places import Wanted

    settings = ClusterSettings(Wanted(job.actors, job.gpus_per_actor, job.device), decode_on)
    return ClusterExecutor(RayMachines(job.address), settings, is_local=job.address is None)
