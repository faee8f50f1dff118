"""Golden data of the official code, and small models to test with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from tests.golden_files import golden_folder
from vfeat.kernels import cpu_library
from vfeat.models import VideoMamba, create_model

SMALL = {
    "img_size": 32, "depth": 2, "embed_dim": 32, "num_classes": 5, "num_frames": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Golden:
    """One folder: the official constructor's arguments, a checkpoint, named tensors."""

    folder: Path
    config: dict[str, Any]
    io: dict[str, Tensor]

    @classmethod
    def read(cls, name: str) -> Golden:
        folder = golden_folder(f"videomamba/{name}")
        config = json.loads((folder / "config.json").read_text())
        return cls(folder, config, load_file(folder / "io.safetensors"))

    @property
    def weights(self) -> str:
        return str(self.folder / "checkpoint.pth")

    def model(self, config: Mapping[str, Any]) -> VideoMamba:
        """Our model of an official configuration; its `kernel_size` is our tubelet."""
        ours = {("tubelet_size" if k == "kernel_size" else k): v for k, v in config.items()}
        return create_model("videomamba", weights=self.weights, **ours)


@pytest.fixture
def library() -> None:
    """The C++ kernels are there, or the test is skipped with the reason."""
    if reason := cpu_library.why_missing():
        pytest.skip(reason)


@pytest.fixture(params=["torch", "cpu"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each back-end of CPU tensors in turn."""
    if request.param == "cpu":
        request.getfixturevalue("library")
    monkeypatch.setenv("VFEAT_KERNEL", request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def small() -> VideoMamba:
    """Two blocks with the weights that every run has."""
    return create_model("videomamba", weights="random", **SMALL)
