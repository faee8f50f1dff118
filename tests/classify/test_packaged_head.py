"""`vfeat classify` without a head: the package's own, for features of the package's own model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

import vfeat
from tests.engine.jobs import tiny_job, verified
from tests.extract.test_class_labels import VIDEO
from tests.extract.test_packaged_model import bare_job, packaged
from vfeat.classify.default_head import CAMERA_STYLE
from vfeat.classify.run import ClassifyRun
from vfeat.engine.watch import Watch
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.extract.run import run_job
from vfeat.job.spec import ClassifyJob, parse_job
from vfeat.models import create_model, save_model
from vfeat.models.videomamba_config import MOTION
from vfeat.sequences.head import HEAD_FILE, Head

__all__ = ["packaged"]  # the fixture: a package with a motion model
STYLES = ("calm", "restless")


@pytest.fixture
def features(packaged: Path, own_clips: Path, tmp_path: Path) -> Path:
    """Features of the packaged model."""
    run_job(bare_job(tmp_path / "features", own_clips / VIDEO))
    return tmp_path / "features"


@pytest.fixture
def packaged_head(features: Path, packaged: Path) -> Path:
    """A head for them in the package."""
    folder = packaged.parent / CAMERA_STYLE
    torch.manual_seed(7)
    shape = {"d_input": 16, "l_max": 32, "d_output": 2, "d_model": 16, "n_layers": 2}
    save_model(create_model("vis4mer", **shape), folder)
    recipe = vfeat.open(str(features)).recipe
    head = Head(str(folder), "camera style", "classification", STYLES, recipe, 16)
    (folder / HEAD_FILE).write_text(json.dumps(head.to_json()))
    return folder


def classify(features: Path, out: Path, **fields: Any) -> list[dict[str, Any]]:
    """Rows of a run in this process."""
    place = {"out": str(out), "executor": "inline", "device": "cpu"}
    job = parse_job({"kind": "classify", "features": str(features), **place, **fields})
    assert isinstance(job, ClassifyJob)
    assert ClassifyRun(job, Watch()).run().exit_code == 0
    verified(out)
    [file] = (out / "predictions").iterdir()
    return pq.read_table(file, columns=["head", "labels", "logits"]).to_pylist()


def test_no_head_is_the_packages_own(packaged_head: Path, features: Path, tmp_path: Path) -> None:
    [row] = classify(features, tmp_path / "default")
    assert row["head"] == "camera style"
    assert {label["label"] for label in row["labels"]} == set(STYLES)
    [named] = classify(features, tmp_path / "named", heads=[str(packaged_head)])
    assert row == named


def test_other_features_need_a_head(packaged_head: Path, own_clips: Path, tmp_path: Path) -> None:
    run_job(tiny_job(tmp_path / "other", own_clips / VIDEO))
    with pytest.raises(
        JobError, match=r"Name a head: --head HEAD\. .*of videomamba with weights r"
    ):
        classify(tmp_path / "other", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_grid_is_refused_field_by_field(
    packaged_head: Path, own_clips: Path, tmp_path: Path
) -> None:
    run_job(bare_job(tmp_path / "other", own_clips / VIDEO, clip_seconds=1.0))
    with pytest.raises(JobError, match=r"box:camera_style was trained on.*\n.*clip\.clip_s"):
        classify(tmp_path / "other", tmp_path / "out")


def test_a_package_without_the_head(features: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMissing, match=f"no weights '{CAMERA_STYLE}' in it"):
        classify(features, tmp_path / "out")


def test_a_package_without_the_model(features: Path, packaged: Path, tmp_path: Path) -> None:
    packaged.rename(tmp_path / "elsewhere")
    with pytest.raises(JobError, match=f"reads only those of the {MOTION}"):
        classify(features, tmp_path / "out")
