"""`vfeat extract` without a model: what the package holds, with clips as it was trained on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

import vfeat
from tests.engine.jobs import verified
from tests.extract.test_class_labels import CONFIG, VIDEO, Heard, labels
from vfeat.errors import EnvironmentMissing
from vfeat.extract.run import ExtractRun, run_job
from vfeat.job.recipe import ClipSpec, FrameSpec
from vfeat.job.spec import ExtractJob, parse_extract
from vfeat.models import create_model, save_model
from vfeat.models import packaged as box
from vfeat.models.videomamba_config import MOTION
from vfeat.models.weights import weights_digest

NAMES = ["static", "pan", "tilt"]


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a motion model as `vfeat train encoder` leaves it."""
    monkeypatch.setattr(box, "BOX", tmp_path / "box")
    torch.manual_seed(1)
    folder = tmp_path / "box" / MOTION
    save_model(create_model("videomamba", num_classes=3, **CONFIG), folder)
    (folder / "labels.json").write_text(json.dumps(NAMES))
    train = {"clip": asdict(ClipSpec(4, 1.5, 1.5)), "frame": asdict(FrameSpec(32, "area"))}
    (folder / "train.json").write_text(json.dumps(train))
    return folder


def bare_job(out: Path, source: Path, **fields: Any) -> ExtractJob:
    """What a newcomer types."""
    place = {"executor": "inline", "device": "cpu", "out": str(out)}
    return parse_extract({"sources": [str(source)], **place, **fields})


def test_nothing_but_a_source_is_needed(packaged: Path, own_clips: Path, tmp_path: Path) -> None:
    watch, out = Heard(), tmp_path / "out"
    ExtractRun(bare_job(out, own_clips / VIDEO), watch).run()
    verified(out)
    recipe = vfeat.open(str(out)).recipe
    assert (recipe.model.name, recipe.model.weights) == (MOTION, f"box:{MOTION}")
    assert recipe.weights_digest == weights_digest(str(packaged))
    assert (recipe.clip.num_frames, recipe.clip.clip_s, recipe.clip.stride_s) == (4, 1.5, 1.5)
    assert (recipe.frame.size, recipe.frame.resize) == (32, "area")
    assert {label for label, _ in labels(out)} == set(NAMES)
    [note] = watch.notes
    assert "For action labels: --model videomamba_middle --weights hf://" in note
    assert run_job(bare_job(out, own_clips / VIDEO)).nothing_to_do


def test_what_the_user_says_comes_first(packaged: Path, own_clips: Path, tmp_path: Path) -> None:
    said = {"num_frames": 8, "clip_seconds": 1.0, "size": 48, "resize": "bilinear"}
    recipe = ExtractRun(bare_job(tmp_path, own_clips, **said), Heard()).recipe
    assert (recipe.clip, recipe.frame) == (ClipSpec(8, 1.0, 1.0), FrameSpec(48))
    stride = ExtractRun(bare_job(tmp_path, own_clips, stride_seconds=0.5), Heard()).recipe.clip
    assert (stride.clip_s, stride.stride_s) == (1.5, 0.5)


def test_named_models_and_weights_are_as_ever(packaged: Path, tmp_path: Path) -> None:
    for named in ({"model": "videomamba_tiny", "weights": "random"}, {"weights": "random"}):
        watch = Heard()
        run = ExtractRun(bare_job(tmp_path / "out", tmp_path, **named), watch)
        assert run.recipe.model.name == "videomamba_tiny"
        assert (run.recipe.clip, run.recipe.frame) == (ClipSpec(), FrameSpec())
    with pytest.raises(EnvironmentMissing, match="videomamba_tiny needs weights"):
        ExtractRun(bare_job(tmp_path / "out", tmp_path, model="videomamba_tiny"), Heard())
    named_motion = ExtractRun(bare_job(tmp_path / "out", tmp_path, model=MOTION), Heard())
    assert named_motion.recipe.model.weights == f"box:{MOTION}"


def test_a_package_without_it(
    tmp_path: Path, own_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box, "BOX", tmp_path / "none")
    with pytest.raises(EnvironmentMissing, match="videomamba_tiny needs weights"):
        ExtractRun(bare_job(tmp_path / "out", own_clips), Heard())
    with pytest.raises(EnvironmentMissing, match=f"no weights '{MOTION}' in it"):
        ExtractRun(bare_job(tmp_path / "out", own_clips, model=MOTION), Heard())
