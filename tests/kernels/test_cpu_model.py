"""The model on the C++ kernels equals the official code."""

from __future__ import annotations

import pytest
import torch

from tests.kernels.cpu import isa, needs_library
from tests.models.conftest import Golden
from tests.models.test_golden import FORWARD, GRADIENT, relative

pytestmark = needs_library
__all__ = ["isa"]


def test_logits_and_every_gradient(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VFEAT_KERNEL", "cpu")
    golden = Golden.read("classify")
    model, video = golden.model(golden.config), golden.io["input"].clone().requires_grad_()
    logits = model(video)
    assert relative(logits, golden.io["logits"]) < FORWARD
    logits.square().sum().backward()
    found = {"input": video.grad, **{k: p.grad for k, p in model.named_parameters()}}
    for name, gradient in found.items():
        assert gradient is not None
        assert relative(gradient, golden.io[f"grad.{name}"]) < GRADIENT, name


def test_autocast_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 GEMMs around float32 kernels, near the float32 result."""
    monkeypatch.setenv("VFEAT_KERNEL", "cpu")
    golden = Golden.read("classify")
    model, video = golden.model(golden.config), golden.io["input"]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert relative(model(video).float(), golden.io["logits"]) < 5e-2
