"""Jobs of `train head` for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vfeat.job.spec import parse_train_head
from vfeat.job.train_head import TrainHeadJob

ANY_LABELS = {"labels": "labels.csv", "tasks": {"label": "classification"}}


def head_job(features: Path | str, out: Path | str, **fields: Any) -> TrainHeadJob:
    """Make a job on the CPU."""
    return parse_train_head({"features": str(features), "out": str(out), "device": "cpu", **fields})
