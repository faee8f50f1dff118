"""Tiny clips, students and teachers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vfeat.models import create_model, save_model
from vfeat.models.videomamba_config import VideoMambaConfig
from vfeat.train.encoder.objectives.base import TrainBatch

CLASSES = 5
SHAPE: dict[str, Any] = {
    "img_size": 32, "patch_size": 16, "depth": 2, "embed_dim": 32, "num_frames": 4,
    "num_classes": CLASSES,
}  # fmt: skip


def config(**changes: Any) -> VideoMambaConfig:
    return VideoMambaConfig(**SHAPE | changes)


def clips(count: int = 2, frames: int = 4, size: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, frames, size, size, generator=generator)


def batch(video: Tensor, seed: int = 0) -> TrainBatch:
    """With labels that are drawn."""
    labels = torch.randint(CLASSES, (len(video),), generator=torch.Generator().manual_seed(seed))
    return TrainBatch(video, torch.nn.functional.one_hot(labels, CLASSES).float())


def save_teacher(folder: Path, **changes: Any) -> str:
    """A VideoMamba's folder; half as wide as the students."""
    torch.manual_seed(3)
    save_model(create_model("videomamba", **SHAPE | {"embed_dim": 16} | changes), folder)
    return str(folder)
