"""Weights in the kernels' layout are made once for each dtype, and again when they change."""

from __future__ import annotations

import torch

from tests.kernels.conftest import random_direction
from vfeat.kernels.gpu.prepared import prepare


def test_a_dtype_keeps_its_weights_while_another_is_used() -> None:
    """A graph reads them at the addresses that they had when it was recorded."""
    given = random_direction(0, 8), random_direction(1, 8)
    with torch.no_grad():
        narrow = prepare(*given, torch.bfloat16)
        assert prepare(*given, torch.float32).project_KEP.dtype == torch.float32
        assert prepare(*given, torch.bfloat16) is narrow


def test_changed_weights_are_prepared_again_for_each_dtype() -> None:
    given = random_direction(0, 8), random_direction(1, 8)
    with torch.no_grad():
        for dtype in (torch.float32, torch.bfloat16):
            prepare(*given, dtype)
        given[1].D_E.add_(1)
        for dtype in (torch.float32, torch.bfloat16):
            assert torch.equal(prepare(*given, dtype).skip_KE[1], given[1].D_E)
