"""Teachers through the whole command: distillation, pre-training without labels, fine-tuning."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.vits import save_vit
from tests.train.encoder.jobs import StopAfter, tiny_job
from tests.train.encoder.moving import write_moving
from vfeat.errors import Interrupted, JobError
from vfeat.models import VideoMamba, create_model
from vfeat.train.encoder.dry_run import outline
from vfeat.train.encoder.run import train_encoder

FIELDS: dict[str, Any] = {"epochs": 2, "batch_size": 6, "lr": 2e-3, "seed": 3}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving(tmp_path_factory.mktemp("moving"), {"train": 4, "val": 2})


@pytest.fixture(scope="module")
def unlabelled(clips: Path) -> Path:
    """The same videos without their labels."""
    path = clips.with_name("unlabelled.csv")
    with clips.open(newline="") as given, path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([row["uri"], row["split"]] for row in csv.DictReader(given))
    lines = path.read_text()
    path.write_text("uri,split\n" + lines)
    return path


@pytest.fixture(scope="module")
def teacher(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A trained encoder, half as wide."""
    out = tmp_path_factory.mktemp("teacher")
    options = {"embed_dim": 16, "depth": 1, "patch_size": 16, "tubelet_size": 1}
    train_encoder(tiny_job(clips, out, **FIELDS | {"epochs": 1}, model_options=options))
    return str(out)


@pytest.fixture(scope="module")
def pretrained(
    unlabelled: Path, teacher: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Any]]:
    """A folder and what `metrics.json` says of it."""
    out = tmp_path_factory.mktemp("pretrained")
    job = tiny_job(unlabelled, out, **FIELDS, objective="masked", teacher=teacher, mask_ratio=0.5)
    return str(out), train_encoder(job)


def test_distillation(clips: Path, teacher: str, tmp_path: Path) -> None:
    job = tiny_job(clips, tmp_path, **FIELDS, objective="distillation", teacher=teacher)
    result = train_encoder(job)
    first, last = (line["losses"] for line in result["history"])
    assert last["distillation"] < first["distillation"] < 4
    for losses in (first, last):
        assert losses["loss"] == pytest.approx(losses["classification"] + losses["distillation"])
    assert set(result["metrics"]) == {"val"} and (tmp_path / "labels.json").exists()
    assert type(create_model("videomamba", weights=str(tmp_path))) is VideoMamba


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["distillation", "masked"])
def test_several_workers_share_a_teacher(
    clips: Path, teacher: str, tmp_path: Path, objective: str
) -> None:
    """The same losses; masks are each worker's own, and with nothing hidden there are none."""
    fields = {**FIELDS, "objective": objective, "teacher": teacher, "mask_ratio": 0.0}
    one, two = (
        train_encoder(tiny_job(clips, tmp_path / f"{workers}", **fields, workers=workers))
        for workers in (1, 2)
    )
    for line, other in zip(one["history"], two["history"], strict=True):
        assert line["losses"] == pytest.approx(other["losses"], abs=1e-4)


def test_pre_training_reads_no_label(pretrained: tuple[str, dict[str, Any]]) -> None:
    folder, result = pretrained
    first, last = result["history"]
    assert last["losses"]["loss"] < first["losses"]["loss"]
    assert last["val_losses"]["loss"] < first["val_losses"]["loss"]
    assert last["val"] is None and result["metrics"] == {}
    assert result["best_epoch"] == 2
    assert result["videos"] == {"unlabelled": {"train": 16, "val": 8, "test": 0}}
    assert not (Path(folder) / "labels.json").exists()


def test_fine_tuning_begins_with_the_pre_trained_trunk(
    pretrained: tuple[str, dict[str, Any]], clips: Path, tmp_path: Path
) -> None:
    """At a rate so low that it is still seen at the end."""
    rates = {"epochs": 1, "lr": 1e-9, "min_lr": 0.0}
    train_encoder(tiny_job(clips, tmp_path, **FIELDS | rates, weights=pretrained[0]))
    before = create_model("videomamba", weights=pretrained[0]).state_dict()
    after = create_model("videomamba", weights=str(tmp_path)).state_dict()
    assert after["head.weight"].shape == (4, 32)
    assert after.keys() - before.keys() == {"head.weight", "head.bias"}
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=1e-5, atol=1e-6)


def test_a_deeper_network_begins_with_all_that_the_weights_compute(
    pretrained: tuple[str, dict[str, Any]], clips: Path, tmp_path: Path
) -> None:
    """At a rate so low that its values are still those of the weights at the end."""
    rates: dict[str, Any] = {"epochs": 1, "lr": 1e-9, "min_lr": 0.0, "weights": pretrained[0]}
    plain = tiny_job(clips, tmp_path / "plain", **FIELDS | rates)
    deeper = tiny_job(clips, tmp_path / "deeper", **FIELDS | rates, new_blocks=1)
    too_deep = tiny_job(clips, tmp_path / "too-deep", **FIELDS | rates, new_blocks=3)
    with pytest.raises(JobError, match="new_blocks: 3 are more than the 2 blocks"):
        outline(too_deep)
    for job in (plain, deeper):
        train_encoder(job)
    models = [create_model("videomamba", weights=job.out).eval() for job in (plain, deeper)]
    assert [len(model.layers) for model in models] == [2, 3]
    assert outline(deeper).parameters == sum(p.numel() for p in models[1].parameters())
    video = torch.randn(2, 3, 8, 48, 48)
    with torch.inference_mode():
        features = [model.forward_features(video) for model in models]
    torch.testing.assert_close(features[1], features[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [2, 4])  # an epoch has three
def test_going_on_draws_the_same_masks(
    pretrained: tuple[str, dict[str, Any]],
    unlabelled: Path,
    teacher: str,
    tmp_path: Path,
    steps: int,
) -> None:
    job = tiny_job(
        unlabelled, tmp_path, **FIELDS, objective="masked", teacher=teacher, mask_ratio=0.5
    )
    with pytest.raises(Interrupted):
        train_encoder(job, StopAfter(steps))
    again = train_encoder(job)
    keys = ("losses", "val_losses")
    expected = [[line[key] for key in keys] for line in pretrained[1]["history"]]
    assert [[line[key] for key in keys] for line in again["history"]] == expected


def test_a_checkpoint_does_not_hold_the_teacher(
    unlabelled: Path, teacher: str, tmp_path: Path
) -> None:
    job = tiny_job(unlabelled, tmp_path, **FIELDS, objective="masked", teacher=teacher)
    with pytest.raises(Interrupted):
        train_encoder(job, StopAfter(1))
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert not any("teacher" in name for name in kept["model"])


def test_a_vision_transformer_teaches_where_it_attends(unlabelled: Path, tmp_path: Path) -> None:
    save_vit(tmp_path / "vit", patch_size=16, image_size=48)
    job = tiny_job(
        unlabelled, tmp_path / "out", **FIELDS | {"epochs": 1}, objective="masked",
        teacher_model=f"vit:{tmp_path / 'vit'}", mask_kind="attention", mask_ratio=0.5,
    )  # fmt: skip
    result = train_encoder(job)
    assert 0 < result["history"][0]["losses"]["loss"] < 4
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["output_dim"] == 32 and config["num_classes"] == 0


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"objective": "distillation"}, "distillation needs teacher"),
        ({"objective": "masked"}, "masked needs teacher"),
        ({"teacher": "folder"}, "a teacher is for objective distillation or masked"),
        (
            {"objective": "masked", "teacher": "folder", "teacher_model": "vit:folder"},
            "leave out teacher",
        ),
        (
            {"objective": "masked", "teacher": "folder", "mask_kind": "attention"},
            "teacher_model vit:",
        ),
        ({"objective": "masked", "teacher": "folder", "mask_ratio": 1.0}, "mask_ratio"),
        ({"objective": "masked", "teacher": "folder", "token_loss": 1.0}, "token_loss is for"),
        ({"rest": 0.5, "repeats": 2}, "rest is for"),
        ({"rest": 0.5, "objective": "masked", "teacher": "folder"}, "rest is for"),
        ({"initial": "motion_energy", "weights": "folder"}, "would overwrite the weights"),
        ({"new_blocks": 1}, "new_blocks go between those of weights"),
        (
            {"new_blocks": 1, "weights": "w", "objective": "masked", "teacher": "folder"},
            "not with masked",
        ),
    ],
    ids=str,
)
def test_jobs_that_cannot_be(fields: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=sentence) as caught:
        tiny_job("clips.csv", tmp_path, **fields)
    assert len(str(caught.value)) < 150, "one sentence, not the whole job"
