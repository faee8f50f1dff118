"""Weights in the package: found by name, read as any folder of ours, missed in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.models.conftest import SMALL
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.job.recipe import ClipSpec, FrameSpec
from vfeat.models import VideoMamba, create_model, save_model
from vfeat.models import packaged as box
from vfeat.models.train_record import trained_on
from vfeat.models.videomamba_config import MODELS, MOTION, own_config
from vfeat.models.weights import read_beside, stored_config, weights_digest


@pytest.fixture
def trained() -> VideoMamba:
    """Other weights than `random` gives."""
    torch.manual_seed(5)
    return create_model("videomamba", **SMALL).eval()


@pytest.fixture
def packaged(trained: VideoMamba, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with one model in it."""
    monkeypatch.setattr(box, "BOX", tmp_path)
    save_model(trained, tmp_path / MOTION)
    (tmp_path / MOTION / "train.json").write_text(
        json.dumps({"clip": {"num_frames": 4, "clip_s": 1.5}, "frame": {"size": 32}})
    )
    return tmp_path / MOTION


def test_a_packaged_model_needs_nothing_but_its_name(packaged: Path, trained: VideoMamba) -> None:
    model = create_model(MOTION).eval()
    video_BCTHW = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        assert torch.equal(model(video_BCTHW), trained(video_BCTHW))
    assert model.config == trained.config


def test_the_uri_is_the_folder(packaged: Path) -> None:
    uri = f"box:{MOTION}"
    assert weights_digest(uri) == weights_digest(str(packaged))
    assert stored_config(uri) == stored_config(str(packaged))
    assert read_beside(uri, "train.json") == (packaged / "train.json").read_bytes()
    assert read_beside(uri, "no.json") is None


def test_its_sizes_are_listed_where_it_is(
    packaged: Path, trained: VideoMamba, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own_config(MODELS[MOTION]) == trained.config
    monkeypatch.setattr(box, "BOX", packaged)
    assert own_config(MODELS[MOTION]) is None


def test_other_weights_may_be_named(packaged: Path) -> None:
    other = create_model(MOTION, weights="random", **SMALL)
    same = create_model("videomamba", weights="random", **SMALL)
    assert torch.equal(other.pos_embed, same.pos_embed)
    assert not torch.equal(other.pos_embed, create_model(MOTION).pos_embed)


@pytest.mark.parametrize("uri", ["box:", "box:other", "box:..", "box:../box", f"box:{MOTION}/x"])
def test_what_is_not_in_the_package(uri: str, packaged: Path) -> None:
    for use in (weights_digest, stored_config, lambda u: create_model("videomamba", weights=u)):
        with pytest.raises(EnvironmentMissing, match="this package of vfeat has no weights"):
            use(uri)


def test_a_package_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "BOX", tmp_path / "none")
    with pytest.raises(EnvironmentMissing, match=f"no weights '{MOTION}' in it"):
        create_model(MOTION)


def test_clips_and_frames_are_those_of_the_training(packaged: Path) -> None:
    clip, frame = trained_on(f"box:{MOTION}")
    assert (clip.num_frames, clip.clip_s, frame.size, frame.resize) == (4, 1.5, 32, "bilinear")
    (packaged / "train.json").unlink()  # config.json alone still says frames and size
    clip, frame = trained_on(str(packaged))
    assert (clip.num_frames, clip.clip_s, frame.size) == (4, 2.0, 32)
    for weights in (None, "random", "no/such.pth"):
        assert trained_on(weights) == (ClipSpec(), FrameSpec())


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"clip": 3}', '{"clip": {"clip_s": "2"}}', '{"frame": {"resize": "cubic"}}'],
)
def test_a_damaged_training_file_is_named(content: str, packaged: Path) -> None:
    (packaged / "train.json").write_text(content)
    with pytest.raises(JobError, match=r"train\.json"):
        trained_on(f"box:{MOTION}")
