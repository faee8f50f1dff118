"""The job of `train head`: the same from flags, a file and Python, with all its checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.engine.commands import REPOSITORY, run
from tests.train.head.generated import write_dataset
from tests.train.head.jobs import ANY_LABELS, head_job
from vfeat.errors import JobError
from vfeat.job.load import load_job
from vfeat.job.train_head import TrainHeadJob

WIDTH = 4


@pytest.fixture
def material(tmp_path: Path) -> Path:
    """Twenty videos of two classes, and their labels."""
    rng = np.random.default_rng(0)
    videos = {f"v{n:02d}.mp4": rng.standard_normal((6, WIDTH), np.float32) for n in range(20)}
    write_dataset(tmp_path / "features", videos, WIDTH)
    lines = [f"v{n:02d},{'xy'[n % 2]}" for n in range(20)]
    (tmp_path / "labels.csv").write_text("\n".join(["uri,scene", *lines]) + "\n")
    return tmp_path


def test_a_job_file_trains_what_the_flags_train(material: Path) -> None:
    features, labels = str(material / "features"), str(material / "labels.csv")
    small = {"epochs": 2, "d_model": 8, "n_layers": 1, "device": "cpu"}
    flags = [
        word for name, value in small.items() for word in (f"--{name}".replace("_", "-"), value)
    ]
    by_flags = run(
        *("train", "head", features, "--labels", labels, "--task", "scene=classification"),
        *("--out", material / "flags", "--json"),
        *flags,
    )
    assert by_flags.returncode == 0, by_flags.stderr
    job: dict[str, Any] = {"kind": "train-head", "features": features, "labels": labels, **small}
    path = material / "job.yaml"
    path.write_text(yaml.safe_dump({**job, "tasks": {"scene": "classification"}, "out": "-"}))
    by_file = run("run", path, "--set", f"out={material / 'file'}", "--json")
    assert by_file.returncode == 0, by_file.stderr
    weights = [material / out / "model.safetensors" for out in ("flags", "file")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    records = [
        json.loads((material / out / "metrics.json").read_text()) for out in ("flags", "file")
    ]
    assert records[0]["identity"] == records[1]["identity"]
    (told,) = json.loads(by_file.stdout)
    assert told["task"] == "scene" and told["epochs"] == 2


def test_a_plan_counts_the_videos_and_writes_nothing(material: Path) -> None:
    job = head_job(
        material / "features", material / "head", labels=str(material / "labels.csv"),
        tasks={"scene": "classification"}, window_seconds=4.0, epochs=7,
    )  # fmt: skip
    path = material / "job.yaml"
    path.write_text(yaml.safe_dump(job.model_dump(mode="json", exclude_none=True)))
    found = json.loads(run("plan", path, "--json").stdout)
    (head,) = found["heads"]
    assert head["task"] == "scene" and head["classes"] == ["x", "y"]
    assert sum(head["videos"].values()) == 20 and min(head["videos"].values()) > 0
    assert (found["window_seconds"], found["hop_seconds"], found["epochs"]) == (4.0, 2.0, 7)
    shown = run("plan", path)
    assert shown.returncode == 0 and "windows of 4 s every 2 s" in shown.stdout
    assert not (material / "head").exists()


def test_the_numbers_of_a_job_are_those_of_earlier_trainings() -> None:
    """A folder that an earlier version wrote is recognised by these."""
    job = head_job("features", "head", labels="l.csv", tasks={"genre": "multilabel"}, seed=3)
    assert json.loads(json.dumps(job.numbers())) == {
        "tasks": [["genre", "multilabel"]], "protocols": [], "level": "clip",
        "window_seconds": None, "hop_seconds": None, "d_model": None, "n_layers": 3,
        "dropout": 0.2, "kernel": "nplr", "epochs": 100, "batch_size": 16, "lr": 1e-3,
        "s4_lr": 1e-3, "weight_decay": 0.01, "patience": 10, "plateau_patience": 4,
        "plateau_factor": 0.2, "clip_norm": 1.0, "class_weights": "none", "seed": 3,
        "bf16": True, "allow_missing": False,
    }  # fmt: skip


def test_the_job_file_of_the_repository_is_such_a_job() -> None:
    job = load_job(str(REPOSITORY / "jobs" / "train-head.yaml"), ("epochs=3",))
    assert isinstance(job, TrainHeadJob) and job.epochs == 3
    assert job.tasks == {"scene": "classification", "genre": "multilabel"}


PROTOCOL = {"protocols": ["coin"], "annotations": "folder"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "give either --labels LABELS.csv with --task, or --protocol with --annotations"),
        ({**ANY_LABELS, **PROTOCOL}, "give either --labels LABELS.csv with --task, or --protocol"),
        ({"labels": "l"}, "--labels needs --task classification|multilabel|regression, or --task"),
        ({"protocols": ["coin"]}, "--protocol needs --annotations FOLDER, and no --task"),
        ({**PROTOCOL, "tasks": ANY_LABELS["tasks"]}, "--protocol needs --annotations FOLDER"),
        ({**ANY_LABELS, "hop_seconds": 1}, "--hop-seconds needs --window-seconds"),
        ({**ANY_LABELS, "tasks": {"a": "guess"}}, "tasks.a: Input should be 'classification'"),
        ({**ANY_LABELS, "level": "video"}, "level: Input should be 'clip', 'frame' or 'patch'"),
        ({**ANY_LABELS, "class_weights": "all"}, "class_weights: Input should be 'none'"),
        ({**ANY_LABELS, "lr": float("inf")}, "lr: Input should be a finite number"),
        ({**ANY_LABELS, "lr": float("nan")}, "lr: Input should be"),
        ({**ANY_LABELS, "window_seconds": 0}, "window_seconds: Input should be greater than 0"),
        ({**ANY_LABELS, "patience": 0}, "patience: Input should be greater than or equal to 1"),
        ({**ANY_LABELS, "cache_megabytes": -1}, "cache_megabytes: Input should be greater than or"),
        ({**ANY_LABELS, "plateau_factor": 1}, "plateau_factor: Input should be less than 1"),
        ({**ANY_LABELS, "epoch": 3}, "epoch: unknown field; did you mean 'epochs'?"),
    ],
)
def test_what_cannot_be_is_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(JobError) as refused:
        head_job("features", "head", **fields)
    assert sentence in str(refused.value)


def test_a_protocol_brings_its_window_for_a_hop() -> None:
    assert head_job("features", "head", **PROTOCOL, hop_seconds=2).hop_seconds == 2.0


def test_a_task_named_twice_is_refused(material: Path) -> None:
    twice = ("--task", "scene=classification", "--task", "scene=multilabel")
    labels = ("--labels", material / "labels.csv")
    refused = run("train", "head", material / "features", *labels, *twice, "--out", "o")
    assert refused.returncode == 2 and "--task scene: named twice" in refused.stderr
