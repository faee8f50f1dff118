"""The dtype of the recurrence, and its protection from autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def state_dtype(*tensors: Tensor | None) -> torch.dtype:
    """Return float64 when any operand is float64, float32 otherwise.

    A bfloat16 state loses a token's contribution after a few hundred steps of decay, so the state,
    A, the time step, the softplus and D are never narrower than float32.
    """
    given = (t.dtype for t in tensors if t is not None)
    return torch.float64 if torch.float64 in given else torch.float32


def no_autocast(like: Tensor) -> AbstractContextManager[object]:
    """Disable autocast on the device of `like`, so that the code alone sets the dtypes."""
    return torch.autocast(like.device.type, enabled=False)
