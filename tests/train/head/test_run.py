"""A training as a whole: what it writes, going on after a kill, several heads at once."""

from __future__ import annotations

import csv
import itertools
import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vfeat
from tests.engine.commands import kill, run, start, wait_until
from tests.train.head.generated import recipe_of, write_dataset
from tests.train.head.jobs import head_job
from vfeat.errors import JobError
from vfeat.job.train_head import TrainHeadJob
from vfeat.sequences.head import load_head, load_head_model, load_heads
from vfeat.train.head.run import train_heads
from vfeat.train.head.trainer import Epoch
from vfeat.train.head.watch import TrainWatch

WIDTH = 8
TASKS = (("genre", "classification"), ("mood", "multilabel"), ("rating", "regression"))


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 videos of 9 to 20 clips, some failed, and labels that their means decide."""
    folder = tmp_path_factory.mktemp("material")
    rng = np.random.default_rng(5)
    videos, lines = {}, []
    for number in range(40):
        values = rng.standard_normal((int(rng.integers(9, 21)), WIDTH), np.float32)
        values[:, number % 2] += 2
        name = f"v{number:02d}.mp4"
        videos[name] = values
        moods = ("calm", "calm;dark", "dark", "")[number % 4]
        lines.append(
            [f"v{number:02d}", ("film", "news")[number % 2], moods, f"{values.mean():.4f}"]
        )
    write_dataset(folder / "features", videos, WIDTH, failed={"v03.mp4": [0, 4, 5]})
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["uri", "genre", "mood", "rating"], *lines])
    return folder


def job_of(material: Path, out: Path, **fields: Any) -> TrainHeadJob:
    settings: dict[str, Any] = {
        "labels": str(material / "labels.csv"),
        "tasks": TASKS[:1],
        "d_model": 8,
        "n_layers": 2,
        "epochs": 3,
        "batch_size": 8,
        "allow_missing": True,
    }
    settings |= fields
    return head_job(material / "features", out, **{**settings, "tasks": dict(settings["tasks"])})


def history(folder: Path) -> list[dict[str, Any]]:
    """Of a finished head, without what a clock says."""
    lines = json.loads((folder / "metrics.json").read_text())["history"]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


class Killed(Exception):
    pass


class KillAfter(TrainWatch):
    """Ends the run as a signal would, in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def advanced(self, phase: str, epoch: int, done: int, total: int) -> None:
        if phase == "train" and epoch == self.epoch and done > total // 2:
            raise Killed


def test_a_killed_run_goes_on_to_the_same_losses(material: Path, tmp_path: Path) -> None:
    train_heads(job_of(material, tmp_path / "whole", tasks=TASKS, n_layers=1))
    again = job_of(material, tmp_path / "cut", tasks=TASKS, n_layers=1)
    for epoch in (2, 3):
        with pytest.raises(Killed):
            train_heads(again, KillAfter(epoch))
        assert not (tmp_path / "cut" / "heads.json").exists()
    torch.manual_seed(1234)  # what else happens in the process changes nothing
    train_heads(again)
    for task, _ in TASKS:
        whole, cut = tmp_path / "whole" / task, tmp_path / "cut" / task
        assert len(history(whole)) == 3
        assert history(whole) == history(cut)
        assert (whole / "model.safetensors").read_bytes() == (
            cut / "model.safetensors"
        ).read_bytes()
    assert not (tmp_path / "cut" / "checkpoint.pt").exists()


def test_sigkill_ctrl_c_and_the_same_command(material: Path, tmp_path: Path) -> None:
    def command(out: Path) -> list[str]:
        return [
            *("train", "head", str(material / "features"), "--out", str(out), "--json"),
            *("--labels", str(material / "labels.csv"), "--task", "genre=classification"),
            *("--d-model", "8", "--n-layers", "1", "--epochs", "600", "--patience", "600"),
            *("--batch-size", "16", "--allow-missing", "--device", "cpu"),
        ]

    checkpoint = tmp_path / "cut" / "checkpoint.pt"
    process = start(*command(tmp_path / "cut"), OMP_NUM_THREADS="1")
    wait_until(checkpoint.exists, 60, "a checkpoint")
    kill(process)
    written = checkpoint.stat().st_mtime_ns
    process = start(*command(tmp_path / "cut"), OMP_NUM_THREADS="1")
    wait_until(lambda: checkpoint.stat().st_mtime_ns != written, 60, "another checkpoint")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "go on with:\n  vfeat train head" in said
    assert not (tmp_path / "cut" / "head.json").exists(), "the run was over before the kill"
    went_on = run(*command(tmp_path / "cut"), OMP_NUM_THREADS="1")
    assert went_on.returncode == 0, went_on.stderr
    assert "Going on after epoch" in went_on.stderr
    assert run(*command(tmp_path / "whole"), OMP_NUM_THREADS="1").returncode == 0
    assert history(tmp_path / "cut") == history(tmp_path / "whole")
    done = run(*command(tmp_path / "cut"))
    assert done.returncode == 0 and "Nothing to do" in done.stderr
    assert json.loads(done.stdout)[0]["metrics"] == json.loads(went_on.stdout)[0]["metrics"]


def test_a_head_learns_beside_others_what_it_learns_alone(material: Path, tmp_path: Path) -> None:
    train_heads(job_of(material, tmp_path / "all", tasks=TASKS))
    for task in TASKS:
        train_heads(job_of(material, tmp_path / task[0], tasks=(task,)))
        together, alone = history(tmp_path / "all" / task[0]), history(tmp_path / task[0])
        assert [line["train_loss"] for line in together] == [line["train_loss"] for line in alone]


def test_the_folder_of_a_head(material: Path, tmp_path: Path) -> None:
    results = train_heads(job_of(material, tmp_path / "heads", tasks=TASKS, window_seconds=8.0))
    heads = load_heads(str(tmp_path / "heads"))
    assert [(head.task, head.kind) for head in heads] == list(TASKS)
    for head, result in zip(heads, results, strict=True):
        assert (head.window_s, head.hop_s, head.width, head.level) == (8.0, 4.0, WIDTH, "clip")
        head.check(vfeat.open(str(material / "features")))
        model = load_head_model(head)
        assert model(torch.zeros(2, 11, WIDTH)).shape == (2, max(1, len(head.classes)))
        folder = Path(head.uri)
        assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"
        metrics = json.loads((folder / "metrics.json").read_text())
        assert set(metrics["metrics"]) == set(metrics["baseline"]) == {"val", "test"}
        assert sum(result.videos.values()) == (30 if head.task == "mood" else 40)
    assert heads[0].classes == ("film", "news") and heads[1].classes == ("calm", "dark")
    assert heads[2].classes == () and heads[2].scale > 0
    assert (
        np.array(
            json.loads((tmp_path / "heads/genre/metrics.json").read_text())["metrics"]["test"][
                "confusion"
            ]
        ).sum()
        == results[0].videos["test"]
    )


def test_where_features_are_kept_changes_nothing(material: Path, tmp_path: Path) -> None:
    """In memory, in the scratch file, in neither."""
    budgets = {"memory": (2048, 2048), "scratch": (0, 2048), "neither": (0, 0)}
    for name, (cache, scratch) in budgets.items():
        budgets = {"cache_megabytes": cache, "scratch_megabytes": scratch}
        train_heads(job_of(material, tmp_path / name, window_seconds=8.0, **budgets))
        assert history(tmp_path / name) == history(tmp_path / "memory")


def test_other_settings_are_refused_field_by_field(material: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train_heads(job_of(material, tmp_path / "out"), KillAfter(2))
    with pytest.raises(JobError, match=r"lr: there 0\.001, asked for 0\.5"):
        train_heads(job_of(material, tmp_path / "out", lr=0.5))
    train_heads(job_of(material, tmp_path / "out"))
    with pytest.raises(JobError, match="seed: there 0, asked for 1"):
        train_heads(job_of(material, tmp_path / "out", seed=1))
    with pytest.raises(JobError, match="other heads already"):
        train_heads(job_of(material, tmp_path / "out", tasks=TASKS))


def test_early_stopping_and_falling_rates(material: Path, tmp_path: Path) -> None:
    lines: list[Epoch] = []

    class Keep(TrainWatch):
        def epoch_ended(self, ended: dict[str, Epoch], best: dict[str, int]) -> None:
            lines.extend(ended.values())

    job = job_of(
        material, tmp_path / "head", epochs=60, patience=4, plateau_patience=2, lr=0.02, s4_lr=0.01
    )
    (result,) = train_heads(job, Keep())
    assert result.epochs < 60
    assert result.epochs - result.best_epoch == 4
    for before, now in itertools.pairwise(lines):
        assert now.lr in (before.lr, pytest.approx(before.lr * 0.2))
        assert now.lr / now.s4_lr == pytest.approx(2)


def test_features_of_another_recipe_or_width_are_refused(material: Path, tmp_path: Path) -> None:
    train_heads(job_of(material, tmp_path / "head", epochs=1))
    head = load_head(str(tmp_path / "head"))
    values = {"a.mp4": np.ones((3, WIDTH), np.float32)}
    other = write_dataset(tmp_path / "other", values, WIDTH, recipe_of(WIDTH, digest="sha256:00"))
    with pytest.raises(JobError, match="weights_digest: the dataset has 'sha256:00'"):
        head.check(vfeat.open(str(other)))
    wide = write_dataset(
        tmp_path / "wide", {"a.mp4": np.ones((3, 16), np.float32)}, 16, recipe_of(WIDTH)
    )
    with pytest.raises(JobError, match=r"width 8; those of .* have width 16"):
        head.check(vfeat.open(str(wide)))


def test_tokens_of_each_frame_as_steps(tmp_path: Path) -> None:
    """Which feature swings from frame to frame: the clips' means are all alike."""
    rng = np.random.default_rng(2)
    videos, lines = {}, ["uri,label"]
    for number in range(100):
        values = rng.standard_normal((5, 4, WIDTH)) * 0.1
        values[:, ::2, number % 2] += 3
        values[:, 1::2, number % 2] -= 3
        videos[f"v{number:02d}.mp4"] = values.astype(np.float32)
        lines.append(f"v{number:02d},{'ab'[number % 2]}")
    recipe = recipe_of(WIDTH, dtype="bfloat16", tokens="frame")
    features = write_dataset(tmp_path / "features", videos, WIDTH, recipe)
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    job = job_of(
        tmp_path, tmp_path / "head", tasks=(("label", "classification"),), level="frame",
        epochs=20, lr=1e-2, s4_lr=1e-2, n_layers=1, dropout=0.0, d_model=16, allow_missing=False,
    )  # fmt: skip
    assert str(features) == job.features
    (result,) = train_heads(job)
    head = load_head(result.uri)
    assert head.level == "frame" and load_head_model(head).config.l_max == 5 * 4
    assert result.metrics["test"].top1 == 1.0


def test_without_matplotlib_the_head_is_there_all_the_same(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []

    class Keep(TrainWatch):
        def note(self, text: str) -> None:
            notes.append(text)

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    train_heads(job_of(material, tmp_path / "head", epochs=1), Keep())
    assert "pip install 'vfeat[plots]'" in notes[-1]
    assert load_head(str(tmp_path / "head")).task == "genre"
    assert not (tmp_path / "head" / "curves.png").exists()
