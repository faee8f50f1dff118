"""Trainings on generated clips and their flow: what is learnt, resumed and shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recipes.camera_motion.synthetic import write_corpus, write_joined
from recipes.camera_motion.synthetic.corpus import FLOW_FILE
from recipes.camera_motion.synthetic.joined import JOINED_FLOW_FILE
from tests.train.encoder.jobs import StopAfter, tiny_job
from vfeat.errors import Interrupted
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models import VideoMamba, create_model
from vfeat.models.packaged import BOX
from vfeat.train.encoder.run import train_encoder

pytest.importorskip("skimage", reason="generated video needs scikit-image")

FIELDS: dict[str, Any] = {
    "epochs": 2, "batch_size": 8, "flow_loss": 2.0, "token_loss": 0.5, "seed": 1,
    "initial": "motion_energy", "lr": 2e-3, "bf16_products": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with generated clips, and the result of a training on them."""
    folder = tmp_path_factory.mktemp("generated")
    write_corpus(folder / "clips", clips=39, seed=5)
    return folder, train_encoder(generated_job(folder, folder / "whole"))


def generated_job(folder: Path, out: Path, **fields: Any) -> TrainEncoderJob:
    flow = {"flow": str(folder / "clips" / FLOW_FILE)}
    return tiny_job(folder / "clips" / "clips.csv", out, **FIELDS | flow | fields)


def test_generated_clips_bring_their_flow(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, result = trained
    first, last = (line["losses"] for line in result["history"])
    assert 0 < last["flow"] < first["flow"]
    assert last["loss"] == pytest.approx(
        last["class_token"] + 0.5 * last["mean_of_tokens"] + 2 * last["flow"], rel=1e-3
    )
    assert type(create_model("videomamba", weights=str(folder / "whole"))) is VideoMamba


def test_earlier_clips_are_learnt_too(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = trained
    write_corpus(tmp_path / "new", clips=13, seed=6)
    joined = write_joined(tmp_path / "new", [str(folder / "clips")])
    fields = {**FIELDS, "flow": str(tmp_path / "new" / JOINED_FLOW_FILE), "epochs": 1}
    result = train_encoder(tiny_job(joined, tmp_path / "out", **fields))
    counts = result["videos"]["static"]
    assert (counts["train"], counts["val"]) == (2, 1)  # of three and of one
    assert result["history"][0]["losses"]["flow"] > 0


def test_going_on_loses_nothing(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """The head that reads the flow is part of the checkpoint."""
    folder, result = trained
    job = generated_job(folder, tmp_path)
    with pytest.raises(Interrupted):
        train_encoder(job, StopAfter(3))
    again = train_encoder(job)
    for one, other in zip(again["history"], result["history"], strict=True):
        assert one["losses"] == other["losses"]


@pytest.mark.slow
def test_workers_share_it(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = trained
    exact = {"bf16_products": False, "epochs": 1}
    one, two = (
        train_encoder(generated_job(folder, tmp_path / str(n), workers=n, **exact)) for n in (1, 2)
    )
    for line, other in zip(one["history"], two["history"], strict=True):
        assert line["losses"] == pytest.approx(other["losses"], abs=1e-4)


@pytest.mark.slow
def test_processes_agree_on_which_videos_rest(tmp_path: Path) -> None:
    """Each is sure of other videos; the weights in the package know most generated ones."""
    clips = write_corpus(tmp_path / "clips", clips=52, seed=8)
    fields: dict[str, Any] = {
        "weights": str(BOX / "videomamba_motion"),
        "model_options": {}, "num_frames": 16, "clip_seconds": 2.0, "size": 112, "resize": "area",
        "epochs": 2, "batch_size": 13, "lr": 1e-5, "rest": 0.9, "label_smoothing": 0.05,
    }  # fmt: skip
    one, two = (
        train_encoder(tiny_job(clips, tmp_path / f"{n}", **fields, workers=n)) for n in (1, 2)
    )
    for line, other in zip(one["history"], two["history"], strict=True):
        assert line["clips"] == other["clips"]
        assert line["losses"] == pytest.approx(other["losses"], abs=1e-3)
    first, *later = [line["clips"] for line in two["history"]]
    assert all(0 < clips < first / 2 for clips in later)
