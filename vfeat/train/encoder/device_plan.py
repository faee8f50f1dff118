"""Resources of a training's processes: device, threads and decoder children of each."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from vfeat.errors import EnvironmentMissing
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models.device import choose_device


@dataclass(frozen=True)
class DevicePlan:
    """Device, threads and decoder count of one training process.

    Attributes:
        device: device of the network.
        decoders: number of decoder children.
        threads: torch's threads; None leaves them as they are.
    """

    device: torch.device
    decoders: int
    threads: int | None = None


def plan_devices(
    job: TrainEncoderJob, rank: int = 0, here: int = 1, given: torch.device | None = None
) -> DevicePlan:
    """Choose the resources of process `rank` of the `here` processes on this machine.

    Args:
        job: settings of the training.
        rank, here: number of the process on this machine, from 0, and how many there are.
        given: device that has already been chosen for the process; None to choose one.

    Raises:
        EnvironmentMissing: there is no GPU, or not one for each process.
    """
    device = given or _device(job, rank, here)
    cores = max(1, len(os.sched_getaffinity(0)) // here)
    if device.type == "cuda":
        return DevicePlan(device, job.decode_workers or cores)
    # The network needs some of the cores.
    decoders = job.decode_workers or max(1, cores // 2)
    return DevicePlan(device, decoders, cores if here > 1 else None)


def _device(job: TrainEncoderJob, rank: int, here: int) -> torch.device:
    if (device := choose_device(job.device)).type == "cpu":
        return device
    gpus = torch.cuda.device_count()
    if here > gpus:
        raise EnvironmentMissing(
            f"--workers {here}: each needs a GPU of its own, and torch finds {gpus} here"
        )
    return torch.device("cuda", rank)
