"""Workers of Ray Train: the losses of one process, also when one of them is killed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.engine.commands import run, start
from tests.train.encoder.jobs import tiny_job
from tests.train.encoder.moving import write_moving
from vfeat.train.encoder.run import train_encoder

FIELDS: dict[str, Any] = {"epochs": 12, "batch_size": 8, "lr": 2e-3, "jitter": 0.3, "seed": 4}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving(tmp_path_factory.mktemp("moving"), {"train": 6, "val": 2, "test": 1})


def write_job(path: Path, source: Path, out: Path, **fields: Any) -> Path:
    job = tiny_job(source, out, **FIELDS, executor="ray", workers=2, **fields)
    path.write_text(yaml.safe_dump(job.model_dump(mode="json", exclude_none=True)))
    return path


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_killed_worker_costs_time_and_nothing_else(clips: Path, tmp_path: Path) -> None:
    expected = train_encoder(tiny_job(clips, tmp_path / "alone", **FIELDS))
    job = write_job(tmp_path / "job.yaml", clips, tmp_path / "out", checkpoint_minutes=1e-4)
    command = start("train", "encoder", job, "--json")
    _kill_a_worker(command.pid, tmp_path / "out" / "checkpoint.pt")
    printed, told = command.communicate(timeout=600)
    assert command.returncode == 0, told
    found = json.loads(printed)
    assert told.count("Training on 2 workers") == 2 and "Going on in epoch" in told
    for one, other in zip(found["history"], expected["history"], strict=True):
        assert one["losses"] == pytest.approx(other["losses"], abs=1e-4)
    for split in ("val", "test"):
        loss = expected["metrics"][split]["loss"]
        assert found["metrics"][split]["loss"] == pytest.approx(loss, abs=1e-4)


def _kill_a_worker(driver: int, checkpoint: Path) -> None:
    """Once there is a checkpoint; the workers are descendants of the driver's own cluster."""
    deadline_s = time.monotonic() + 600
    while time.monotonic() < deadline_s:
        if checkpoint.exists():
            for process in psutil.Process(driver).children(recursive=True):
                name = " ".join(process.cmdline())
                if name.startswith("ray::") and "TrainWorker" in name:
                    process.kill()
                    return
        time.sleep(0.05)
    pytest.fail("no worker to kill")


def test_no_cluster_at_the_address_is_a_sentence(clips: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.yaml", clips, tmp_path / "out", address="127.0.0.1:9")
    result = run("train", "encoder", job)
    assert result.returncode == 4 and "no Ray cluster answers at 127.0.0.1:9" in result.stderr


@pytest.mark.slow
def test_what_ends_a_worker_is_told_once(clips: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.yaml", clips, tmp_path / "out")
    result = run("train", "encoder", job, "--set", "lr=1.0e+30", "--set", "warmup_epochs=0")
    assert result.returncode == 2, result.stderr
    assert "became" in result.stderr and "in epoch" in result.stderr
    assert result.stderr.count("Training on 2 workers") == 1 and "Traceback" not in result.stderr
