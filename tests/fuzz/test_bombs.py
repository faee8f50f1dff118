"""Small files that stand for something without end are refused before it is made."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fuzz import inputs
from tests.fuzz.inputs import DOORS, enter


def test_a_zip_bomb(tmp_path: Path) -> None:
    """A few megabytes that unpack to four gigabytes."""
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        with archive.open("archive/data/0", "w", force_zip64=True) as entry:
            for _ in range(64):
                entry.write(bytes(1 << 24))
    assert path.stat().st_size < 20 << 20
    assert enter(DOORS["model"], path) == "JobError"


@pytest.mark.parametrize("length", [1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_header_longer_than_its_file(length: int, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}" + bytes(100))
    assert enter(DOORS["model"], path) == "JobError"


def itself() -> dict[str, Any]:
    """A checkpoint that holds itself."""
    state: dict[str, Any] = {}
    state["model"] = state
    return state


def repeated() -> dict[str, Any]:
    """A tensor of one number that claims to have a trillion."""
    return {"head.weight": torch.zeros(1, dtype=torch.float16).expand(1 << 20, 1 << 20)}


@pytest.mark.parametrize("make", [itself, repeated])
def test_a_checkpoint_without_end(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(make(), path)
    assert enter(DOORS["model"], path) == "JobError"


@pytest.mark.parametrize(
    ("field", "value"),
    [("depth", 10**9), ("embed_dim", 10**30), ("img_size", 60_000), ("num_classes", 10**12)],
)
def test_a_configuration_larger_than_any_machine(field: str, value: int, tmp_path: Path) -> None:
    folder = inputs.model_folder(tmp_path / "model")
    config = (folder / "config.json").read_text()
    before = inputs.SMALL.get(field)
    assert f'"{field}": {before}' in config
    (folder / "config.json").write_text(
        config.replace(f'"{field}": {before}', f'"{field}": {value}')
    )
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
