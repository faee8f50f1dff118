"""The flags of `vfeat train encoder`, its job files, and `vfeat run`."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import yaml

from tests.engine.commands import run
from tests.train.encoder.jobs import TINY, tiny_job
from tests.train.encoder.moving import write_moving
from vfeat.cli.train_encoder import encoder
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.job.load import load_job
from vfeat.job.spec import parse_train_encoder
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.train.encoder.dry_run import outline
from vfeat.train.encoder.run import train_encoder


def test_flags_are_the_fields_of_the_job() -> None:
    flags = inspect.signature(encoder).parameters
    fields = TrainEncoderJob.model_fields
    assert set(flags) - {"ctx", "set_", "dry_run", "json_output"} == set(fields) - {"kind"}
    required, mappings = {"source", "out"}, {"model_options", "label_swaps"}
    for name, parameter in flags.items():
        if name in fields and name not in required | mappings:
            assert parameter.default == fields[name].default, name


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving(tmp_path_factory.mktemp("moving"), {"train": 2, "val": 1})


def test_flags_count_on_top_of_a_job_file_and_of_set(clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump({**TINY, "source": str(clips), "out": "out", "epochs": 3}))
    dry = ["--dry-run", "--json"]
    for arguments, steps in (
        ([], 3),
        (["--set", "epochs=4"], 4),
        (["--epochs", "5", "--set", "epochs=4"], 5),
        (["--set", "batch_size=4", "--repeats", "2"], 12),
    ):
        told = run("train", "encoder", path, *arguments, *dry)
        assert json.loads(told.stdout)["steps"] == steps, told.stderr
    assert load_job(str(path), ("lr=0.5",), kind="train-encoder").lr == 0.5  # type: ignore[union-attr]


def test_a_job_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("kind: extract\nsources: [a]\nout: o\n")
    result = run("train", "encoder", path)
    assert result.returncode == 2 and "is of kind extract; run it with `vfeat run" in result.stderr


def test_missing_weights_are_refused(clips: Path, tmp_path: Path) -> None:
    job = tiny_job(clips, tmp_path / "out", weights="nowhere")
    for refuse in (outline, train_encoder):
        with pytest.raises(EnvironmentMissing, match="Weights nowhere: there is no file"):
            refuse(job)
    assert not (tmp_path / "out").exists()


def test_run_takes_such_a_job(clips: Path, tmp_path: Path) -> None:
    job = tiny_job(clips, tmp_path / "out", epochs=1)
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job.model_dump(mode="json", exclude_none=True)))
    result = run("run", path, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["epochs"] == 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"epoch": 3}, "epoch: unknown field; did you mean 'epochs'?"),
        ({"hflip": True, "label_swaps": {"horizontal": {}}}, "leave out hflip"),
        ({"lr": 1e-7}, "min_lr 1e-06 is above lr 1e-07"),
        ({"test_flips": True}, "test_flips needs flips that were learnt"),
        (
            {"test_flips": True, "hflip": True, "objective": "masked", "teacher": "t"},
            "test_flips is for objectives with labels",
        ),
    ],
)
def test_fields_that_do_not_agree_are_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(JobError, match=sentence.replace("?", r"\?")):
        parse_train_encoder({"source": "clips.csv", "out": "out", **fields})
