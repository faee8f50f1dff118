"""Description of an extract worker; free of torch, for the driver."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vfeat.extract.decode_feeder import DecodeFeeder
from vfeat.job.fingerprint import Recipe
from vfeat.job.kinds import load
from vfeat.job.recipe import DecodeLimits
from vfeat.media.children.pool import DecodePool
from vfeat.media.devices.base import NVDEC
from vfeat.media.shots.detectors import check_detector

if TYPE_CHECKING:
    from vfeat.engine.executor import Worker
    from vfeat.engine.feeding import Feeder

# Expected, to be booked with the cluster: a child with its picture buffers and slots at 1080p, a
# pool's own process, and a worker with torch and the model.
_CHILD_BYTES = 320 << 20
_NETWORK_BYTES = 448 << 20  # torch and TransNetV2 in a child that finds shots by it
_DEVICE_BYTES = 1024 << 20  # torch and the GPU's driver in a child that decodes with it
_FEEDER_BYTES = 256 << 20
_WORKER_BYTES = 1536 << 20


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of a worker that change no number in the dataset.

    Attributes:
        decode_workers: decoder children; None: what the worker's machine has cores for.
    """

    root: str = field(repr=False)  # may hold a password
    device: str = "auto"
    batch_size: int | None = None
    decode_workers: int | None = None
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    patience_s: float = 120.0


@dataclass(frozen=True)
class DecodeFeederSpec:
    """Description of a decoder pool on a node without an encoder; pickles."""

    recipe: Recipe
    limits: DecodeLimits
    children: int | None

    def build(self, cores: int) -> Feeder:
        """Make the pool: one child a core, or as many as an extract worker was given."""
        check_detector(self.recipe.clip.shots)
        pool = DecodePool(self.recipe.clip, self.recipe.frame, self.limits, self.children or cores)
        return DecodeFeeder(pool)

    def memory_bytes(self, cores: int) -> int:
        """Return what the pool is expected to need."""
        return _FEEDER_BYTES + (self.children or cores) * _child_bytes(self.recipe)


@dataclass(frozen=True)
class ExtractSpec:
    """Description of an extract worker; pickles, and loads torch only in `build`."""

    recipe: Recipe
    settings: WorkerSettings

    def build(self, cores: int) -> Worker:
        """Load the model and start the decoder children.

        Args:
            cores: of this machine, for all processes of the worker.
        """
        # Read when torch is imported: its idle threads would spin and steal from the decoders.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # By name: the worker imports this module, and the driver must not import torch.
        worker: Worker = load("vfeat.extract.worker:ExtractWorker")(
            self.recipe, self.settings, cores
        )
        return worker

    def feeder(self) -> DecodeFeederSpec:
        """Return the description of a decoder pool that works for such workers."""
        settings = self.settings
        return DecodeFeederSpec(self.recipe, settings.limits, settings.decode_workers)

    def memory_bytes(self, cores: int) -> int:
        """Return what a worker is expected to need, as many children as beside a GPU included."""
        children = decoder_children(self.settings.decode_workers, cores, gpu=True)
        return _WORKER_BYTES + children * _child_bytes(self.recipe)


def _child_bytes(recipe: Recipe) -> int:
    shots = recipe.clip.shots
    by_network = shots is not None and shots.detector == "transnetv2"
    by_device = recipe.frame.decoder == NVDEC
    return _CHILD_BYTES + by_network * _NETWORK_BYTES + by_device * _DEVICE_BYTES


def decoder_children(wanted: int | None, cores: int, *, gpu: bool) -> int:
    """Return the decoder children of a worker: one a core beside a GPU, fewer without one."""
    return wanted or (max(1, cores - 1) if gpu else max(1, cores // 4))
