"""What every constructor of networks shares: repeatable values and messages about weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from vfeat.errors import JobError
from vfeat.models.weights import RANDOM_SEED

Network = TypeVar("Network", bound=nn.Module)


@contextmanager
def fitting(weights: str) -> Iterator[None]:
    """Name the weights in the message about a configuration that may be theirs."""
    try:
        yield
    except JobError as error:
        raise JobError(f"Weights {weights}: {error.lines[0]}", *error.lines[1:]) from None


def seeded(make: Callable[[], Network]) -> Network:
    """Build with the same values in every process; the caller's random state stays unchanged."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # Not torch.manual_seed, which would seed the GPUs' generators too.
        torch.default_generator.manual_seed(RANDOM_SEED)
        return make()
