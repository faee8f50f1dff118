"""Choice of the back-end: the best that can run, or the one that VFEAT_KERNEL names."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

from vfeat.errors import EnvironmentMissing
from vfeat.ops.backend import Backend, TorchBackend
from vfeat.ops.cpu import CpuBackend
from vfeat.ops.gpu import MambaSsmBackend, TritonBackend

VARIABLE = "VFEAT_KERNEL"

# Best first; torch stays last, for it always runs.
_backends: list[Backend] = [CpuBackend(), TritonBackend(), MambaSsmBackend(), TorchBackend()]


class BackendStatus(NamedTuple):
    """One line of `vfeat doctor`.

    Attributes:
        name: value of `VFEAT_KERNEL` that selects it.
        runs: it can run on this machine's best device, in float32.
        reason: why it cannot run; empty when it can.
        chosen: a model on that device would use it now.
    """

    name: str
    runs: bool
    reason: str
    chosen: bool


def register(backend: Backend) -> None:
    """Put a back-end before those registered so far."""
    _backends.insert(0, backend)


def choose(device_type: str, dtype: torch.dtype = torch.float32) -> Backend:
    """Choose the back-end for tensors of this device and dtype.

    Args:
        device_type: `cpu` or `cuda`, as in `torch.device.type`.
        dtype: dtype of the activations.

    Raises:
        EnvironmentMissing: `VFEAT_KERNEL` names one that does not exist or cannot run.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted:
        return _forced(wanted, device_type, dtype)
    return next(b for b in _backends if b.why_not(device_type, dtype) is None)


def _forced(wanted: str, device_type: str, dtype: torch.dtype) -> Backend:
    """Return the back-end of that name; raise if it does not exist or cannot run."""
    backend = next((b for b in _backends if b.name == wanted), None)
    if backend is None:
        raise EnvironmentMissing(
            f"{VARIABLE}={wanted}: there is no such kernel back-end. {_listing(device_type, dtype)}"
        )
    reason = backend.why_not(device_type, dtype)
    if reason is not None:
        raise EnvironmentMissing(
            f"{VARIABLE}={wanted} cannot run on {device_type} in {dtype}: {reason} "
            f"{_listing(device_type, dtype)}"
        )
    return backend


def _listing(device_type: str, dtype: torch.dtype) -> str:
    """List the back-ends and why each can or cannot run here."""
    reasons = {b.name: b.why_not(device_type, dtype) for b in _backends}
    lines = [f"{name} ({reason or 'runs'})" for name, reason in reasons.items()]
    return f"Back-ends here: {', '.join(lines)}. Unset {VARIABLE} to take the best that runs."


def describe_backends() -> list[BackendStatus]:
    """Describe every back-end, best first; never raises, even if VFEAT_KERNEL is wrong."""
    device_type = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = choose(device_type).name
    except EnvironmentMissing:
        chosen = ""
    reasons = {b.name: b.why_not(device_type, torch.float32) for b in _backends}
    return [
        BackendStatus(name, reason is None, reason or "", name == chosen)
        for name, reason in reasons.items()
    ]
