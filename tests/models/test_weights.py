"""Digests and places of weights, known without torch."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.models.conftest import SMALL
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.models import VideoMamba, create_model, save_model
from vfeat.models.weights import weights_digest


def test_random_weights_are_the_same_whatever_was_drawn_before() -> None:
    first = create_model("videomamba", weights="random", **SMALL).state_dict()
    torch.manual_seed(99)
    second = create_model("videomamba", weights="random", **SMALL).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_random_weights_leave_the_random_state_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    create_model("videomamba", weights="random", **SMALL)
    assert torch.equal(torch.rand(4), expected)


def test_fresh_weights_follow_the_random_state() -> None:
    torch.manual_seed(1)
    first = create_model("videomamba", **SMALL)
    second = create_model("videomamba", **SMALL)
    assert not torch.equal(first.head.weight, second.head.weight)


def test_digest_is_of_the_content_not_the_place(tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"weights")
    expected = "sha256:" + hashlib.sha256(b"weights").hexdigest()
    assert weights_digest(str(tmp_path / "a.pth")) == expected
    assert weights_digest(f"file://{tmp_path}/b.pth") == expected
    assert weights_digest("random") == "random:0"


def test_digest_of_a_folder_follows_both_files(small: VideoMamba, tmp_path: Path) -> None:
    save_model(small, tmp_path)
    before = weights_digest(str(tmp_path))
    assert before == weights_digest(f"{tmp_path}/")
    (tmp_path / "config.json").write_text("{}")
    assert weights_digest(str(tmp_path)) != before


def test_names_costs_and_digests_need_no_torch(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"weights")
    code = (
        "import sys; from vfeat.models.videomamba_config import clip_gflops; "
        "from vfeat.models.weights import weights_digest; "
        f"clip_gflops('videomamba_tiny'); weights_digest({str(tmp_path / 'a.pth')!r}); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("uri", ["nowhere/w.pth", "memory://nowhere/w.pth", "memory://nowhere"])
def test_weights_that_are_not_there(uri: str) -> None:
    for use in (weights_digest, lambda u: create_model("videomamba_tiny", weights=u)):
        with pytest.raises(EnvironmentMissing, match=f"Weights {uri}: there is no file.*Give"):
            use(uri)


def test_a_folder_without_weights_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMissing, match=r"there is no file .*config\.json"):
        weights_digest(str(tmp_path))


def test_the_hub_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EnvironmentMissing, match=r"pip install 'vfeat\[hub\]'"):
        weights_digest("hf://owner/repo/w.pth")


def test_the_hub_downloads_by_owner_repo_and_revision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    asked: list[tuple[object, ...]] = []

    def download(repo: str, filename: str, revision: str | None) -> str:
        asked.append((repo, filename, revision))
        (tmp_path / "w.pth").write_bytes(b"weights")
        return str(tmp_path / "w.pth")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    weights_digest("hf://owner/repo/sub/w.pth")
    weights_digest("hf://owner/repo@v1/w.pth")
    assert asked == [("owner/repo", "sub/w.pth", None), ("owner/repo", "w.pth", "v1")]


def test_an_unreachable_hub_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")

    def fail(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(EnvironmentMissing, match=r"no network.*give its path instead"):
        weights_digest("hf://owner/repo/w.pth")


@pytest.mark.parametrize("uri", ["hf://", "hf://owner", "hf://owner/repo", "hf://owner/repo/"])
def test_a_hub_address_without_a_file(uri: str) -> None:
    with pytest.raises(JobError, match="expected hf://owner/repo/file"):
        weights_digest(uri)
