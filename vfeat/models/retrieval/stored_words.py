"""Reading of words for stored vectors: what `vfeat train retrieval --freeze-vision` wrote."""

from __future__ import annotations

from dataclasses import fields

import torch

from vfeat.errors import JobError
from vfeat.models.checkpoint import load_checkpoint
from vfeat.models.retrieval.text_tower import TextTower, TextTowerConfig


def load_text_tower(uri: str) -> TextTower:
    """Load a folder that `vfeat train retrieval --freeze-vision` wrote, in evaluation mode.

    Raises:
        JobError: it holds something else.
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    checkpoint = load_checkpoint(uri)
    known = {field.name for field in fields(TextTowerConfig)}
    if checkpoint.config is None or not checkpoint.config.get("finds"):
        raise JobError(
            f"{uri} holds no words for stored vectors: its config.json has no `finds`. Expected a "
            "folder that `vfeat train retrieval --freeze-vision` wrote"
        )
    config = {name: value for name, value in checkpoint.config.items() if name in known}
    tower = TextTower(TextTowerConfig(**config))
    own = tower.state_dict()
    found = {key: tensor.to(torch.float32) for key, tensor in checkpoint.state.items()}
    wrong = [
        key
        for key in sorted(own.keys() | found.keys())
        if key not in own or key not in found or own[key].shape != found[key].shape
    ]
    if wrong:
        raise JobError(
            f"Weights {uri}: {len(wrong)} tensors do not fit the sizes in config.json, such as "
            f"{wrong[0]}"
        )
    tower.load_state_dict(found)
    return tower.eval()
