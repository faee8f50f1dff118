"""The recipe from end to end on a few clips, and its job files."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

import vfeat
from recipes.camera_motion.corpora import CORPORA, make_corpus
from recipes.camera_motion.styles import write_held_out
from recipes.camera_motion.synthetic import LABELS
from recipes.camera_motion.trainings import JOBS, TRAININGS, train
from tests.engine.commands import REPOSITORY, environment, run
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.job.load import load_job
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models import create_model
from vfeat.schema import published_schemas

pytest.importorskip("skimage", reason="generated video needs scikit-image")

CLIPS = 32  # two rounds of labels: one is held out
SMALL = (
    "epochs=1", "batch_size=8", "size=48", "device=cpu",
    "model_options={embed_dim: 32, depth: 2, patch_size: 16, tubelet_size: 4}",
)  # fmt: skip


def recipe(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the recipe to its end, from the repository as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "recipes.camera_motion", *map(str, arguments)],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first training has run on a few clips."""
    work = tmp_path_factory.mktemp("work")
    made = recipe("generate", "clips-20261121", "--clips", CLIPS, "--work", work)
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == str(work / "clips-20261121" / "clips.csv")
    settings = [word for setting in SMALL for word in ("--set", setting)]
    done = recipe("train", "from-scratch", "--clips", CLIPS, "--work", work, *settings)
    assert done.returncode == 0, done.stderr
    return work


def test_the_encoder_loads_and_extracts(work: Path) -> None:
    encoder, out = work / "from-scratch", work / "features"
    history = json.loads((encoder / "metrics.json").read_text())["history"]
    assert len(history) == 1 and history[0]["losses"]["flow"] > 0
    assert create_model("videomamba", weights=str(encoder)).config.num_classes == len(LABELS)
    source = work / "clips-20261121" / "000"
    flags = ["--model", "videomamba", "--weights", encoder, "--out", out, "--executor", "inline"]
    told = run("extract", source, *flags)
    assert told.returncode == 0, told.stderr
    rows = vfeat.open(str(out)).to_arrow()
    assert len(rows) == CLIPS and {row[0]["label"] for row in rows["labels"].to_pylist()} <= set(
        LABELS
    )


def test_held_out_clips_are_those_that_were_not_learnt(work: Path) -> None:
    path = work / "clips-20261121" / "clips.csv"
    with write_held_out(str(path)).open(newline="") as file:
        held_out = list(csv.DictReader(file))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert held_out == [row for row in rows if row["split"] != "train"]
    assert 0 < len(held_out) < CLIPS


def test_missing_weights_are_refused_before_clips_are_made(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMissing, match="from-scratch: there is no file"):
        train(tmp_path, ["continue"])
    assert not list(tmp_path.iterdir())


def test_a_missing_earlier_corpus_is_refused_before_clips_are_made(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="clips-20261126 is not a folder of generated clips"):
        make_corpus(tmp_path, "clips-20261127")
    assert not list(tmp_path.iterdir())


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    for command, name in (("generate", "clips"), ("train", "first")):
        told = recipe(command, name, "--work", tmp_path)
        assert told.returncode == 2
        assert f"{name}: no " in told.stderr and "of this recipe; expected" in told.stderr


def test_each_training_goes_on_where_the_one_before_ended() -> None:
    assert {path.stem for path in JOBS.glob("*.yaml")} == set(TRAININGS)
    jobs = [load_job(str(JOBS / f"{name}.yaml")) for name in TRAININGS]
    trainings = [job for job in jobs if isinstance(job, TrainEncoderJob)]
    assert len(trainings) == 6
    for before, after in itertools.pairwise(trainings):
        assert after.weights == before.out and after.seed == before.seed + 1
    names = [Path(job.source).parent.name for job in trainings]
    assert names[0] == names[1] and list(dict.fromkeys(names)) == list(CORPORA)
    assert len({corpus.seed for corpus in CORPORA.values()}) == len(CORPORA)
    assert CORPORA[names[4]].earlier == (names[3],)
    for job, name in zip(trainings, names, strict=True):
        joined = "joined-" if CORPORA[name].earlier else ""
        assert job.source == f"{name}/{'joined' if joined else 'clips'}.csv"
        assert job.flow == f"{name}/{joined}flow.parquet"
    own = {
        "weights", "out", "model_options", "initial", "epochs", "lr", "seed", "warmup_epochs",
        "source", "flow", "rest", "keep", "random_crop", "test_flips", "new_blocks",
    }  # fmt: skip
    alike = [job.model_dump(exclude=own) for job in trainings]
    assert all(fields == alike[0] for fields in alike)


def test_every_job_file_follows_the_schema() -> None:
    schema = json.loads(published_schemas()["job"])
    for name in TRAININGS:
        jsonschema.validate(yaml.safe_load((JOBS / f"{name}.yaml").read_text()), schema)
