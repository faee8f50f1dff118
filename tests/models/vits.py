"""Tiny checkpoints in the transformers library's own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

TINY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
PIXELS: dict[str, Any] = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.6, 0.7],
    "rescale_factor": 1 / 255,
    "size": {"height": 32, "width": 32},
}


def save_vit(
    folder: Path, network: str = "ViTModel", seed: int = 0, pixels: Any = PIXELS, **config: Any
) -> Any:
    """Make a network of random weights, save it and its preprocessor's file; returns it."""
    kind = getattr(transformers, network)
    fields = {"image_size": 32, "patch_size": 8, **TINY}
    if "vision_config" in kind.config_class.sub_configs:
        fields = {"vision_config": fields, "text_config": {**TINY, "vocab_size": 50}}
    fields |= config
    torch.manual_seed(seed)
    model = kind(kind.config_class(**fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # the library starts many at zero
            parameter.normal_(std=0.1)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return model


def edit(folder: Path, file: str, **changes: Any) -> None:
    """Change fields of a JSON file."""
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, **changes}))
