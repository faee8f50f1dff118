"""However a training was cut, it ends with the losses of one that never was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.train.encoder.jobs import SWAPS, StopAfter, tiny_job
from tests.train.encoder.moving import write_moving
from vfeat.errors import Interrupted, JobError
from vfeat.train.encoder.data import epoch_order as order
from vfeat.train.encoder.objectives.base import Classification, Losses, TrainBatch
from vfeat.train.encoder.run import train_encoder

FIELDS: dict[str, Any] = {
    "epochs": 3, "batch_size": 6, "lr": 2e-3, "drop_path": 0.2, "ema_decay": 0.99, "jitter": 0.3,
    "label_swaps": SWAPS, "mixup": 0.5, "label_smoothing": 0.1, "seed": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving(tmp_path_factory.mktemp("moving"), {"train": 6, "val": 2, "test": 1})


@pytest.fixture(scope="module")
def whole(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Losses of a training that nobody stopped."""
    out = tmp_path_factory.mktemp("whole")
    return losses(train_encoder(tiny_job(clips, out, **FIELDS)))


@pytest.fixture(scope="module")
def whole_by_command(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The same by the command.

    A process of its own has its own number of threads, and so another order of adding than
    this one, in which other tests may have changed it.
    """
    out = tmp_path_factory.mktemp("whole-by-command")
    done = subprocess.run(command_of(clips, out), capture_output=True, text=True, check=True)
    return losses(json.loads(done.stdout))


def command_of(clips: Path, folder: Path) -> list[str]:
    """A training into `folder/out`, as users run it; checkpoints come thick and fast."""
    path = folder / "job.yaml"
    job = tiny_job(clips, folder / "out", **FIELDS, checkpoint_minutes=1e-4)
    path.write_text(yaml.safe_dump(job.model_dump(mode="json", exclude_none=True)))
    return [sys.executable, "-m", "vfeat", "train", "encoder", str(path), "--json"]


def losses(result: dict[str, Any]) -> list[dict[str, Any]]:
    assert result["finished"]
    return [{**line["losses"], **line["val"]} for line in result["history"]]


@pytest.mark.parametrize("steps", [1, 3, 4, 6, 11])  # an epoch has four
def test_going_on_after_any_step(
    clips: Path, whole: list[dict[str, Any]], tmp_path: Path, steps: int
) -> None:
    job = tiny_job(clips, tmp_path / "out", **FIELDS)
    with pytest.raises(Interrupted, match=r"checkpoint is kept|stopped after"):
        train_encoder(job, StopAfter(steps))
    assert losses(train_encoder(job)) == whole
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


@pytest.mark.parametrize("steps", [2, 5, 8])
def test_going_on_where_videos_rest(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(
        order, "LEARNED_THRESHOLD", 0.27
    )  # of four labels: some videos are, some are not
    fields = {**FIELDS, "mixup": 0.0, "epochs": 4, "rest": 0.8}
    whole = train_encoder(tiny_job(clips, tmp_path / "whole", **fields))
    job = tiny_job(clips, tmp_path / "cut", **fields)
    with pytest.raises(Interrupted):
        train_encoder(job, StopAfter(steps))
    again = train_encoder(job)
    assert losses(again) == losses(whole)
    clips_of_epochs = [line["clips"] for line in whole["history"]]
    assert [line["clips"] for line in again["history"]] == clips_of_epochs
    assert clips_of_epochs[0] == 24 and 0 < min(clips_of_epochs) < 24


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_a_command_that_was_cut_goes_on(
    clips: Path, whole_by_command: list[dict[str, Any]], tmp_path: Path, how: signal.Signals
) -> None:
    out, command = tmp_path / "out", command_of(clips, tmp_path)
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 120
    while not (out / "checkpoint.pt").exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    first.send_signal(how)
    _, told = first.communicate(timeout=120)
    assert first.returncode == (130 if how is signal.SIGINT else -how), told
    assert how is signal.SIGKILL or f"train encoder {tmp_path / 'job.yaml'} --json" in told
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert losses(json.loads(again.stdout)) == whole_by_command
    assert "Going on in epoch" in again.stderr
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Nothing to do" in done.stderr and json.loads(done.stdout) == json.loads(again.stdout)


def test_a_loss_that_is_no_number_leaves_the_checkpoint_before_it(
    clips: Path, whole: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tiny_job(clips, tmp_path, **FIELDS)
    forward, calls = Classification.forward, count(1)

    def broken(self: Classification, batch: TrainBatch) -> Losses:
        found = forward(self, batch)
        if next(calls) != 6:
            return found
        return Losses({"loss": found.by_name["loss"] * float("inf")}, found.given_B)

    with monkeypatch.context() as patch:
        patch.setattr(Classification, "forward", broken)
        with pytest.raises(JobError, match=r"became inf in epoch 2, step 2 of 4\..*lower --lr"):
            train_encoder(job)
    assert (tmp_path / "checkpoint.pt").exists()
    assert losses(train_encoder(job)) == whole


def test_a_field_that_is_new_since_then_is_no_other_setting(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train_encoder(tiny_job(clips, tmp_path, **FIELDS), StopAfter(1))
    path = tmp_path / "train.json"
    content = json.loads(path.read_text())
    del content["identity"]["layer_decay"], content["identity"]["lr"]
    path.write_text(json.dumps(content))
    with pytest.raises(JobError, match=r"lr: there 0\.001, asked for 0\.002$"):
        train_encoder(tiny_job(clips, tmp_path, **FIELDS))


def test_other_settings_in_the_same_folder_are_refused(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train_encoder(tiny_job(clips, tmp_path, **FIELDS), StopAfter(1))
    with pytest.raises(JobError, match=r"lr: there 0\.002, asked for 0\.001"):
        train_encoder(tiny_job(clips, tmp_path, **{**FIELDS, "lr": 1e-3}))
