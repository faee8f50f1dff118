"""ViS4mer equals the official code: logits, kernels, a layer, every gradient."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.golden_files import golden_folder
from vfeat.errors import JobError
from vfeat.models import ViS4mer, create_model
from vfeat.models.s4 import NplrKernel, S4Layer

FORWARD, GRADIENT = 1e-3, 1e-3
FOLDERS = sorted(p.name for p in golden_folder("vis4mer").iterdir() if p.is_dir())


@dataclass(frozen=True)
class Golden:
    """One folder: the official constructor's arguments, a checkpoint, named tensors."""

    folder: Path
    config: dict[str, Any]
    io: dict[str, Tensor]

    @property
    def weights(self) -> str:
        return str(self.folder / "checkpoint.pth")

    def model(self) -> ViS4mer:
        model = create_model("vis4mer", weights=self.weights, **self.config)
        return model.eval()


@pytest.fixture(scope="module", params=FOLDERS)
def golden(request: pytest.FixtureRequest) -> Golden:
    folder = golden_folder(f"vis4mer/{request.param}")
    config = json.loads((folder / "config.json").read_text())
    return Golden(folder, config, load_file(folder / "io.safetensors"))


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value."""
    assert found.shape == expected.shape
    return float((found - expected).detach().abs().max() / expected.abs().max())


def layer(model: ViS4mer, index: int) -> S4Layer:
    found = model.s4_layers[index]
    assert isinstance(found, S4Layer)
    return found


def kernel(model: ViS4mer, index: int) -> NplrKernel:
    found = layer(model, index).kernel["krylov"]
    assert isinstance(found, NplrKernel)
    return found


@pytest.mark.parametrize("length", ["full", "short"])
def test_logits(golden: Golden, length: str) -> None:
    model = golden.model()
    for _ in range(2):  # the second from the cache
        with torch.no_grad():
            logits = model(golden.io[f"{length}.input"])
        assert relative(logits, golden.io[f"{length}.logits"]) < FORWARD


def test_kernels_of_the_first_and_the_last_layer(golden: Golden) -> None:
    model = golden.model()
    for index, name in ((0, "kernel0"), (-1, "kernel_last")):
        assert relative(kernel(model, index)(doublings=0), golden.io[name]) < FORWARD


def test_one_layer(golden: Golden) -> None:
    with torch.no_grad():
        output = layer(golden.model(), 0)(golden.io["s4_0.input"].mT)
    assert relative(output.mT, golden.io["s4_0.output"]) < FORWARD


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_every_gradient(golden: Golden, masked: bool) -> None:
    model, sequence = golden.model(), golden.io["full.input"].clone().requires_grad_()
    mask = torch.ones(sequence.shape[:2], dtype=torch.bool) if masked else None
    model(sequence, mask).square().sum().backward()
    found = {"input": sequence.grad, **{k: p.grad for k, p in model.named_parameters()}}
    expected = {
        k.removeprefix("full.grad."): t for k, t in golden.io.items() if k.startswith("full.grad.")
    }
    assert {k for k, g in found.items() if g is not None} == expected.keys()
    for name, gradient in expected.items():
        assert relative(found[name], gradient) < GRADIENT, name


def test_names_and_shapes_are_the_official_ones(golden: Golden) -> None:
    official = torch.load(golden.weights, weights_only=True)
    fresh = create_model("vis4mer", **golden.config).state_dict()
    assert {k: t.shape for k, t in fresh.items()} == {k: t.shape for k, t in official.items()}


def test_the_length_is_part_of_the_weights(golden: Golden) -> None:
    config = golden.config | {"l_max": golden.config["l_max"] ^ 1}
    shorter = golden.config["l_max"]
    with pytest.raises(JobError, match=rf"nodes: .*({shorter}|\({shorter // 2 + 1}, 2\))"):
        create_model("vis4mer", weights=golden.weights, **config)
