"""The flags of `vfeat train encoder`, its job files, and `vfeat run`."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import yaml

from tests.engine.commands import REPOSITORY, run
from tests.train.encoder.jobs import TINY, tiny_job
from tests.train.encoder.moving import write_moving
from vfeat.errors import JobError
from vfeat.job.load import load_job
from vfeat.job.spec import parse_train_encoder
from vfeat.job.train_encoder import TrainEncoderJob


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
        ({"generate": {"clips": 9, "folder": "f"}}, "give either a list of clips"),
    ],
)
def test_fields_that_do_not_agree_are_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(JobError, match=sentence.replace("?", r"\?")):
        parse_train_encoder({"source": "clips.csv", "out": "out", **fields})


def test_each_job_file_of_the_box_goes_on_where_the_one_before_ended() -> None:
    names = ("train-motion.yaml", *(f"train-motion-{part}.yaml" for part in range(2, 7)))
    jobs = [load_job(str(REPOSITORY / "jobs" / name)) for name in names]
    parts = [job for job in jobs if isinstance(job, TrainEncoderJob)]
    assert len(parts) == 6
    for before, after in itertools.pairwise(parts):
        assert after.weights == before.out and after.seed == before.seed + 1
    corpora = [part.generate for part in parts if part.generate is not None]
    assert corpora[0] == corpora[1] and len({c.seed for c in corpora}) == 5
    assert len({c.folder for c in corpora}) == 5
    assert corpora[4].earlier == (corpora[3].folder,)
    assert all(c.turns == corpora[0].turns and c.seams_s == corpora[0].seams_s for c in corpora)
    own = {
        "weights", "out", "model_options", "initial", "epochs", "lr", "seed", "warmup_epochs",
        "generate", "rest", "keep", "random_crop", "test_flips", "new_blocks",
    }  # fmt: skip
    alike = [part.model_dump(exclude=own) for part in parts]
    assert all(fields == alike[0] for fields in alike)
