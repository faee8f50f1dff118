"""A head's size read from a checkpoint, without torch and without running the checkpoint."""

from __future__ import annotations

import argparse
import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.golden_files import golden_folder
from vfeat.errors import EnvironmentMissing
from vfeat.models import create_model, save_model
from vfeat.models.head_peek import head_classes


def state(classes: int, prefix: str = "") -> dict[str, torch.Tensor]:
    config = {"img_size": 32, "depth": 1, "embed_dim": 16, "num_frames": 4}
    model = create_model("videomamba", weights="random", num_classes=classes, **config)
    return {prefix + key: tensor for key, tensor in model.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.encoder."])
@pytest.mark.parametrize("wrapper", [None, "model", "module", "state_dict"])
def test_whatever_a_training_script_wraps_around(
    wrapper: str | None, prefix: str, tmp_path: Path
) -> None:
    classes = random.Random(f"{wrapper}{prefix}").randint(2, 500)
    content: Any = state(classes, prefix)
    if wrapper is not None:
        args = argparse.Namespace(lr=1e-3, device=torch.device("cpu"))
        content = {"epoch": 3, "args": args, wrapper: content, "scaler": None}
    torch.save(content, tmp_path / "w.pth")
    assert head_classes(str(tmp_path / "w.pth")) == classes


def test_safetensors_and_folders_of_ours(tmp_path: Path) -> None:
    save_file(state(23), tmp_path / "w.safetensors")
    assert head_classes(str(tmp_path / "w.safetensors")) == 23
    config = {"img_size": 32, "depth": 1, "embed_dim": 16, "num_frames": 4, "num_classes": 9}
    save_model(create_model("videomamba", weights="random", **config), tmp_path / "folder")
    assert head_classes(str(tmp_path / "folder")) == 9


def test_on_a_remote_store(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    torch.save({"state_dict": state(31)}, tmp_path / "w.pth")
    fsspec.filesystem("memory").pipe("/head_shape/w.pth", (tmp_path / "w.pth").read_bytes())
    assert head_classes("memory://head_shape/w.pth") == 31


@pytest.mark.parametrize("name", ["classify", "image", "inflate", "resize"])
def test_official_checkpoints(name: str) -> None:
    path = str(golden_folder(f"videomamba/{name}") / "checkpoint.pth")
    stored = torch.load(path, weights_only=False)  # ours: it is in this repository
    while "head.weight" not in stored:
        stored = stored.get("model", stored.get("module"))
    assert head_classes(path) == stored["head.weight"].shape[0]


def test_parameters_count_as_tensors(tmp_path: Path) -> None:
    head = torch.nn.Linear(4, 17)
    torch.save({"head.weight": head.weight, "head.bias": head.bias}, tmp_path / "w.pth")
    assert head_classes(str(tmp_path / "w.pth")) == 17


class Hostile:
    """Makes a folder when unpickled by a trusting reader."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        content = {"head.weight": Hostile(trap), "more": Hostile(trap)}
        archive.writestr("w/data.pkl", pickle.dumps(content))
    assert head_classes(str(tmp_path / "w.pth")) is None
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"x" * 99, os.urandom(4000), b"\xff" * 8 + b"{" * 9])
def test_what_cannot_be_read_has_no_head(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    assert head_classes(str(tmp_path / "w.pth")) is None


def test_without_a_head_there_is_no_size(tmp_path: Path) -> None:
    trunk = {key: tensor for key, tensor in state(5).items() if not key.startswith("head")}
    torch.save(trunk, tmp_path / "w.pth")
    assert head_classes(str(tmp_path / "w.pth")) is None
    with pytest.raises(EnvironmentMissing, match="there is no file"):
        head_classes(str(tmp_path / "none.pth"))


def test_no_torch_is_needed(tmp_path: Path) -> None:
    torch.save(state(7), tmp_path / "w.pth")
    code = (
        "import sys; from vfeat.models.head_peek import head_classes; "
        f"assert head_classes({str(tmp_path / 'w.pth')!r}) == 7; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
