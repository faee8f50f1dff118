"""The GPUs of this machine, looked for without a library that would occupy them."""

from __future__ import annotations

import os

_DEVICES = "/proc/driver/nvidia/gpus"


def has_local_gpu(device: str) -> bool:
    """Return whether workers of this machine will have a GPU.

    Args:
        device: `cpu` uses none, whatever there is.
    """
    return device != "cpu" and os.path.exists("/dev/nvidia0")


def count_local_gpus(device: str) -> int:
    """Return how many GPUs workers of this machine can share."""
    return len(os.listdir(_DEVICES)) if device != "cpu" and os.path.isdir(_DEVICES) else 0
