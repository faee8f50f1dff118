"""Small files that stand for something without end are refused before it is made."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fuzz import inputs
from tests.fuzz.inputs import DOORS, enter
from vfeat.errors import JobError


def test_a_zip_bomb(tmp_path: Path) -> None:
    """A checkpoint of a quarter of a megabyte that unpacks to 64."""
    whole, path = tmp_path / "whole.pth", tmp_path / "bomb.pth"
    torch.save({"head.weight": torch.zeros(1 << 24)}, whole)
    with zipfile.ZipFile(whole) as read, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as write:
        for name in read.namelist():
            write.writestr(name, read.read(name))
    assert 100 * path.stat().st_size < whole.stat().st_size
    with pytest.raises(JobError, match=r"bomb\.pth refused: .* unpacks to"):
        DOORS["model"](path)


@pytest.mark.parametrize("length", [1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_header_longer_than_its_file(length: int, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}" + bytes(100))
    assert enter(DOORS["model"], path) == "JobError"


def test_a_tensor_larger_than_its_file(tmp_path: Path) -> None:
    """One number that claims to be a trillion."""
    path = tmp_path / "w.pth"
    torch.save({"head.weight": torch.zeros(1, dtype=torch.float16).expand(1 << 20, 1 << 20)}, path)
    with pytest.raises(JobError, match="unpacks to"):
        DOORS["model"](path)


def test_a_checkpoint_that_holds_itself(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    state["model"] = state
    path = tmp_path / "w.pth"
    torch.save(state, path)
    assert enter(DOORS["model"], path) == "JobError"


@pytest.mark.parametrize(
    ("field", "value"),
    [("depth", 10**9), ("embed_dim", 10**30), ("img_size", 60_000), ("num_classes", 10**12)],
)
def test_a_configuration_larger_than_any_machine(field: str, value: int, tmp_path: Path) -> None:
    folder = inputs.model_folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    assert field in config
    (folder / "config.json").write_text(json.dumps({**config, field: value}))
    assert enter(DOORS["model"], folder) == "JobError"


@pytest.mark.parametrize("name", ["config.json", "labels.json", "train.json", "head.json"])
def test_json_without_end(name: str, tmp_path: Path) -> None:
    write = inputs.head_folder if name == "head.json" else inputs.model_folder
    folder = write(tmp_path / "folder")
    (folder / name).write_text("[" * 200_000)
    door = {"config.json": "model", "head.json": "head"}.get(name, "settings")
    assert enter(DOORS[door], folder) == "JobError"


@pytest.mark.parametrize("text", ["[" * 50_000, "a: " * 5000, "out: 2024-99-99\n"])
def test_yaml_without_end(text: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    assert enter(DOORS["job"], path) == "JobError"
