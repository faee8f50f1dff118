"""Description of an extract worker; free of torch, for the driver."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vfeat.job.fingerprint import Recipe
from vfeat.job.kinds import load
from vfeat.job.recipe import DecodeLimits

if TYPE_CHECKING:
    from vfeat.engine.executor import Worker


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


def decoder_children(wanted: int | None, cores: int, *, gpu: bool) -> int:
    """Return the decoder children of a worker: one a core beside a GPU, fewer without one."""
    return wanted or (max(1, cores - 1) if gpu else max(1, cores // 4))
