"""`vfeat run` of a file of several jobs: order, results, exit codes, and a notice to stop."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.classify.classifying import make_head
from tests.engine.commands import run, start, wait_until
from tests.engine.jobs import TINY, slow_corpus, tiny_job, verified
from vfeat.extract.run import run_job
from vfeat.tables.status import dataset_status


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head for features of the tiny model."""
    folder = tmp_path_factory.mktemp("head")
    clip = Path(__file__).parents[1] / "clips" / "vp9.webm"
    run_job(tiny_job(folder / "f", clip))
    return make_head(folder / "head", folder / "f")


def job_file(folder: Path, head: Path, source: Path, **extract: Any) -> Path:
    """Both stages, in this process but where `extract` has another executor."""
    features, predictions = str(folder / "features"), str(folder / "predictions")
    first = {**TINY, "kind": "extract", "sources": [str(source)], "out": features, **extract}
    second = {
        "kind": "classify", "features": "${extract.out}", "heads": [str(head)],
        "out": predictions, "executor": "inline", "device": "cpu",
    }  # fmt: skip
    (folder / "jobs.yaml").write_text(yaml.safe_dump({"jobs": [first, second]}))
    return folder / "jobs.yaml"


def test_failed_units_of_one_job_do_not_keep_the_next_from_its_work(
    own_clips: Path, head: Path, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("vp9.webm", "random_bytes.mp4"):
        shutil.copy(own_clips / name, videos)
    job = job_file(tmp_path, head, videos)
    plan = run("plan", job, "--json")
    assert plan.returncode == 0, plan.stderr
    first, second = json.loads(plan.stdout)
    assert first["result"]["videos"] == 2
    assert second == {
        "job": "classify", "exit_code": 0, "waits_for": str(tmp_path / "features"),
    }  # fmt: skip
    assert not (tmp_path / "features").exists()
    ended = run("run", job, "--json")
    assert ended.returncode == 3, ended.stderr
    assert [part["exit_code"] for part in json.loads(ended.stdout)] == [3, 0]
    assert dataset_status(str(tmp_path / "predictions")).videos == {"complete": 1}
    said = run("run", job).stdout
    assert said.index("extract: job 1 of 2") < said.index("classify: job 2 of 2")
    assert said.count("Nothing to do") == 2
    # The input of the second job is there by now: what it refuses is refused before any work.
    shutil.copy(own_clips / "av1.mp4", videos)
    wrong = run("run", job, "--set", "classify.heads=[/no/such/head]", "--json")
    assert wrong.returncode not in (0, 1, 3) and "/no/such/head" in wrong.stderr
    assert "classify cannot run" in wrong.stderr and json.loads(wrong.stdout) == []
    assert dataset_status(str(tmp_path / "features")).videos == {"complete": 1, "failed": 1}


def test_what_ends_a_job_ends_all(own_clips: Path, head: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(3):
        shutil.copy(own_clips / "random_bytes.mp4", videos / f"{number}.mp4")
    job = job_file(tmp_path, head, videos, breaker_first_units=3)
    ended = run("run", job, "--json")
    [only] = json.loads(ended.stdout)
    assert ended.returncode == only["exit_code"] != 0
    assert only["job"] == "extract" and only["error"]
    assert not (tmp_path / "predictions").exists()


def test_sigterm_ends_all_jobs_in_order_and_the_same_command_finishes(
    own_clips: Path, tmp_path: Path
) -> None:
    """The notice of a machine that is taken back, on Ray; until then, `status` shows the run."""
    features = tmp_path / "features"
    job = job_file(
        tmp_path, tmp_path / "head", slow_corpus(own_clips, tmp_path), executor="ray",
        shard_minutes=0.001, decoder="tests.engine.faults:faulty",
    )  # fmt: skip
    driver = start("run", job)
    seen: list[dict[str, Any]] = []

    def works() -> bool:
        if not (features / "dataset.json").exists():
            return False
        seen.extend(run.to_json() for run in dataset_status(str(features)).running)
        return bool(seen and seen[-1]["done"] and seen[-1]["nodes"])

    wait_until(works, 120, "a worker at work, in the status")
    assert sum(seen[-1]["nodes"].values()) == seen[-1]["workers"] == 1
    assert set(seen[-1]["nodes"]) == {socket.gethostname()}
    driver.send_signal(signal.SIGTERM)
    said, errors = driver.communicate(timeout=120)
    assert driver.returncode == 130, errors
    assert f"vfeat run {job}" in errors and "Go on with" in said
    assert verified(features).pending_shards > 0, "stopped too late to prove anything"
    assert dataset_status(str(features)).running == []
    assert not (tmp_path / "predictions").exists()
    make_head(tmp_path / "head", features)
    again = run("run", job)
    assert again.returncode == 0, again.stderr
    assert verified(features).pending_shards == 0
    assert dataset_status(str(tmp_path / "predictions")).videos == {"complete": 8}
