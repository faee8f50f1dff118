"""Small trainings on the moving squares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vfeat.job.spec import parse_train_encoder
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.train.encoder.watch import EncoderWatch

TINY: dict[str, Any] = {
    "model": "videomamba",
    "model_options": {"embed_dim": 32, "depth": 2, "patch_size": 16, "tubelet_size": 2},
    "num_frames": 8,
    "size": 48,
    "device": "cpu",
}
SWAPS = {
    "horizontal": {"left": "right"},
    "vertical": {"up": "down"},
    "reverse": {"left": "right", "up": "down"},
}


def tiny_job(source: Path | str, out: Path | str, **fields: Any) -> TrainEncoderJob:
    """A job of the smallest network."""
    return parse_train_encoder({**TINY, "source": str(source), "out": str(out), **fields})


class StopAfter(EncoderWatch):
    """Asks to stop after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advanced(self, phase: str, epoch: int, done: int, total: int, loss: float) -> None:
        self.left -= phase == "train"

    def stopping(self) -> bool:
        return self.left <= 0
