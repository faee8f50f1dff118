"""Small trainings on the world of squares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vfeat.job.spec import parse_train_retrieval
from vfeat.job.train_retrieval import TrainRetrievalJob

WORDS = {
    "text_dim": 64, "text_depth": 3, "text_heads": 4, "text_hidden": 128, "text_positions": 16,
    "sentence_tokens": 12,
}  # fmt: skip
DUAL = {
    **WORDS, "embed_dim": 64, "depth": 2, "patch_size": 16, "tubelet_size": 2, "joint_dim": 32,
    "fusion_layer": 2, "output_dim": 8,
}  # fmt: skip
TINY: dict[str, Any] = {
    "model": "videomamba_mm", "model_options": DUAL, "vocabulary": "captions",
    "min_word_count": 1, "num_frames": 8, "size": 32, "device": "cpu", "batch_size": 16,
    "lr": 4e-3,
}  # fmt: skip


def tiny_job(source: Path | str, out: Path | str, **fields: Any) -> TrainRetrievalJob:
    """A job of the smallest dual encoder."""
    return parse_train_retrieval({**TINY, "source": str(source), "out": str(out), **fields})
