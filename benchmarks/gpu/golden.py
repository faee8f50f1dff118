"""Models of step b: the official code's outputs and gradients, and graphs beside eager passes."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.gpu.assignment import ROOT
from benchmarks.gpu.operations import Check, Errors, error
from vfeat.models import create_model
from vfeat.ops import graphs

# As in tests/models: float32 of another order of sums.
FORWARD, GRADIENT, NARROW = 1e-4, 1e-3, 5e-2


def golden_folder() -> Path:
    """Return the folder of the official models: VFEAT_GOLDEN, or the copy in this repository."""
    return Path(os.environ.get("VFEAT_GOLDEN", ROOT / "tests" / "golden"))


def model_checks(device: str, rehearse: bool) -> Iterator[Check]:
    """Yield the checks of whole models, on the back-end that VFEAT_KERNEL names."""
    yield Check("golden", "golden classify", lambda: _classify(device, gradients=not rehearse))
    if not rehearse:
        yield Check("golden", "golden resize", lambda: _features("resize", "model", device))
        yield Check("golden", "golden inflate", lambda: _features("inflate", "video", device))
    for batch in (1,) if rehearse else (1, 3, 8):
        for narrow in (False, True):
            yield Check(
                "graphs",
                f"graph against eager, batch {batch}, {'bfloat16' if narrow else 'float32'}",
                lambda batch=batch, narrow=narrow: _graph(batch, narrow, device, rehearse),  # type: ignore[misc]
            )


def _read(name: str) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """Return an official model's configuration, its tensors, and the path of its weights."""
    folder = golden_folder() / "videomamba" / name
    config = json.loads((folder / "config.json").read_text())
    return config, load_file(folder / "io.safetensors"), str(folder / "checkpoint.pth")


def _model(config: dict[str, Any], weights: str, device: str) -> Any:
    """Build our model of an official configuration; its `kernel_size` is our tubelet."""
    ours = {("tubelet_size" if k == "kernel_size" else k): v for k, v in config.items()}
    return create_model("videomamba", weights=weights, **ours).to(device)


def _classify(device: str, gradients: bool) -> Errors:
    config, io, weights = _read("classify")
    model, video = _model(config, weights, device), io["input"].to(device)
    with torch.no_grad():
        found = [("logits", error(model(video).cpu(), io["logits"]), FORWARD)]
        features = model.forward_features(video).cpu()
        found.append(("features", error(features, io["features"]), FORWARD))
        with torch.autocast(device, torch.bfloat16):
            found.append(("bfloat16", error(model(video).float().cpu(), io["logits"]), NARROW))
    if not gradients:
        return found
    model(video).square().sum().backward()
    for name, parameter in model.named_parameters():
        found.append(
            (f"gradient of {name}", error(parameter.grad.cpu(), io[f"grad.{name}"]), GRADIENT)
        )
    return found


def _features(name: str, part: str, device: str) -> Errors:
    config, io, weights = _read(name)
    model = _model(config[part], weights, device)
    with torch.no_grad():
        features = model.forward_features(io["input"].to(device)).cpu()
    return [("features", error(features, io["features"]), FORWARD)]


def _graph(batch: int, narrow: bool, device: str, rehearse: bool) -> Errors:
    """Compare a replayed pass with the same pass launched kernel by kernel, twice each."""
    shape: dict[str, Any] = {"img_size": 224, "num_frames": 8}
    if rehearse:
        shape = {"img_size": 32, "num_frames": 2, "depth": 1, "embed_dim": 16}
    name = "videomamba" if rehearse else "videomamba_tiny"
    model = create_model(name, weights="random", **shape).eval().to(device)
    run = graphs.Graphed(model.forward_features, model.parameters())
    generator = torch.Generator().manual_seed(batch)
    side, frames = shape["img_size"], shape["num_frames"]
    size = (2, batch, 3, frames, side, side)
    videos = torch.randn(*size, generator=generator).to(device)
    worst = 0.0
    with warnings.catch_warnings(record=True) as caught, torch.inference_mode():
        warnings.simplefilter("always")
        for video in videos:
            with torch.autocast(device, torch.bfloat16, enabled=narrow):
                worst = max(worst, error(run(video), model.forward_features(video)))
    refused = float(any(issubclass(w.category, graphs.GraphWarning) for w in caught))
    # cuBLAS may choose another kernel for a capture; memory that is overwritten shows all the same.
    allowed = 4e-3 if narrow else 1e-6
    return [("difference", worst, allowed), ("passes not captured", refused, 0.0)]
