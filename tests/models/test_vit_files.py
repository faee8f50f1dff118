"""Where checkpoints of the transformers library lie: folders, the hub, its cache, and wrecks."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers

from tests.models.vits import edit, save_vit
from vfeat.errors import EnvironmentMissing, JobError, VfeatError
from vfeat.models import vit_files
from vfeat.models.vit import read_vit
from vfeat.models.vit_model import load_vit


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that tests copy and break."""
    folder = tmp_path_factory.mktemp("vit") / "saved"
    save_vit(folder)
    return folder


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("config.json", "no file config.json"),
        ("preprocessor_config.json", "no preprocessor_config.json"),
        ("model.safetensors", "no weights"),
    ],
)
def test_what_is_missing_is_named(file: str, sentence: str, saved: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(saved, tmp_path / "broken")
    (broken / file).unlink()
    with pytest.raises(EnvironmentMissing, match=sentence):
        read_vit(str(broken)).files.digest()


def test_the_digest_is_that_of_configuration_and_weights(saved: Path, tmp_path: Path) -> None:
    digest = read_vit(str(saved)).files.digest()
    copy = shutil.copytree(saved, tmp_path / "copy")
    (copy / "README.md").write_text("not a part of the model")
    assert read_vit(str(copy)).files.digest() == digest
    save_vit(tmp_path / "other", seed=1)
    assert read_vit(str(tmp_path / "other")).files.digest() != digest
    edit(copy, "config.json", hidden_act="relu")
    assert read_vit(str(copy)).files.digest() != digest


@pytest.mark.parametrize("form", ["pickle", "parts"])
def test_other_forms_of_the_weights_load_the_same(form: str, saved: Path, tmp_path: Path) -> None:
    model = transformers.AutoModel.from_pretrained(saved)
    folder = shutil.copytree(saved, tmp_path / form)
    (folder / "model.safetensors").unlink()
    if form == "pickle":
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    else:
        model.save_pretrained(folder, max_shard_size="20KB")
        assert len(list(folder.glob("*.safetensors"))) > 1
    expected, found = load_vit(str(saved)).state_dict(), load_vit(str(folder)).state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    digest = read_vit(str(folder)).files.digest()
    tensors = read_vit(str(folder)).files.tensors()
    with open(folder / tensors[-1], "ab") as file:
        file.write(b"0")
    assert read_vit(str(folder)).files.digest() != digest


def test_a_pickle_that_runs_code_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "evil")
    (folder / "model.safetensors").unlink()

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(JobError, match="holds more than tensors"):
        load_vit(str(folder))
    assert not (tmp_path / "ran").exists()


def test_damaged_weights_are_one_sentence(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "damaged")
    content = (folder / "model.safetensors").read_bytes()
    for damaged in (b"", content[:100], content[:-100], b"<html>"):
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(JobError, match="could not be loaded"):
            load_vit(str(folder))


def test_what_was_downloaded_before_serves_without_a_network(saved: Path, tmp_path: Path) -> None:
    """The hub's own cache layout, read by the hub's own package, in a fresh process."""
    repo = tmp_path / "models--owner--repo"
    shutil.copytree(saved, repo / "snapshots" / "c0ffee")
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("c0ffee")
    code = """
from vfeat.models.vit_model import load_vit
print(load_vit("owner/repo").info.files.digest())
"""
    offline = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == read_vit(str(saved)).files.digest()


class Hub:
    """The hub with one repository; notes what is downloaded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fetched = folder, list[str]()

    def model_info(self, repo: str, **_: Any) -> SimpleNamespace:
        content = (self.folder / "model.safetensors").read_bytes()
        lfs = SimpleNamespace(sha256=hashlib.sha256(content).hexdigest())
        weights = SimpleNamespace(rfilename="model.safetensors", lfs=lfs)
        texts = [
            SimpleNamespace(rfilename=name, lfs=None)
            for name in ("config.json", "preprocessor_config.json")
        ]
        return SimpleNamespace(sha="c0ffee", siblings=[weights, *texts])

    def download(self, repo: str, file: str, revision: str) -> str:
        assert (repo, revision) == ("owner/repo", "c0ffee")
        self.fetched.append(file)
        return str(self.folder / file)


def test_planning_downloads_no_weights(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(saved)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub.download)
    vit_files._on_hub.cache_clear()
    info = read_vit("owner/repo")
    assert info.files.pinned == "owner/repo@c0ffee"
    assert info.files.digest() == read_vit(str(saved)).files.digest()
    assert set(hub.fetched) == {"config.json", "preprocessor_config.json"}
    vit_files._on_hub.cache_clear()


def test_a_hub_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    with pytest.raises(EnvironmentMissing, match=r"no route to host.*vit:FOLDER") as caught:
        read_vit("owner/never-downloaded")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no/such/folder", "/no/such", "", "s3://bucket/vit"])
def test_a_name_that_is_nothing(name: str) -> None:
    with pytest.raises(VfeatError, match="vit:"):
        read_vit(name)
