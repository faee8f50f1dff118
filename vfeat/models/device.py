"""Choice of the device that a model runs on."""

from __future__ import annotations

import torch

from vfeat.errors import EnvironmentMissing


def choose_device(wanted: str) -> torch.device:
    """Resolve a device name to a device of this machine.

    Args:
        wanted: `cpu`, `cuda`, or `auto`, which is a GPU when torch finds one.

    Raises:
        EnvironmentMissing: `cuda` was asked for and torch has none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EnvironmentMissing(
            "device cuda was asked for, and torch finds no GPU here; use --device cpu, or install "
            "a CUDA build of torch (`vfeat doctor` shows what is found)"
        )
    has_gpu = wanted != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if has_gpu else "cpu")


def device_name(device: torch.device) -> str:
    """Return "cpu", or the name of a GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
