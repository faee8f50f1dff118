"""`vfeat classify` on Ray under real faults: whatever dies, one row for each video and window."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.classify.classifying import by_name, make_head
from tests.engine.commands import kill, run, start, wait_until
from tests.engine.jobs import verified
from tests.train.head.generated import write_dataset

WIDTH, VIDEOS = 8, 1600
SHARDS = ("--shard-minutes", "0.00007")  # about a hundred of these videos


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many short videos of one, two or three clips."""
    rng = np.random.default_rng(11)
    videos = (
        (f"v{n:04d}.mp4", rng.standard_normal((n % 3 + 1, WIDTH), np.float32))
        for n in range(VIDEOS)
    )
    out = tmp_path_factory.mktemp("many") / "features"
    return write_dataset(out, videos, WIDTH, videos_per_shard=400)


@pytest.fixture(scope="module")
def head(features: Path) -> Path:
    return make_head(features.parent / "head", features, window_s=1.0, hop_s=1.0)


def command(features: Path, head: Path, out: Path) -> list[str | Path]:
    return [
        *("classify", features, "--head", head, "--out", out, "--windows", "--device", "cpu"),
        *SHARDS,
    ]


def committed(out: Path) -> int:
    return len(list((out / "predictions").glob("*.parquet")))


def check_every_row_once(out: Path) -> None:
    report = verified(out)
    assert report.pending_shards == report.error_clips == 0
    found = by_name(out)  # fails on a key that stands there twice
    expected = {(f"v{n:04d}.mp4", place) for n in range(VIDEOS) for place in range(n % 3 + 2)}
    assert found.keys() == expected


def test_sigkill_of_the_driver_then_the_same_command_finishes(
    features: Path, head: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    driver = start(*command(features, head, out))
    wait_until(lambda: committed(out) >= 1, 300, "a commit")
    kill(driver)
    before = committed(out)
    assert verified(out).pending_shards > 0, "killed too late to prove anything"
    result = run(*command(features, head, out), timeout_s=400)
    assert result.returncode == 0, result.stderr
    assert committed(out) > before
    check_every_row_once(out)
    again = run(*command(features, head, out), timeout_s=400)
    assert again.returncode == 0 and "Nothing to do" in again.stdout


def test_sigkill_of_a_worker_is_survived(features: Path, head: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    driver = start(*command(features, head, out))
    wait_until(lambda: committed(out) >= 1, 300, "a commit")
    workers = [
        child
        for child in psutil.Process(driver.pid).children(recursive=True)
        if "ray::_Actor" in " ".join(child.cmdline())
    ]
    assert workers
    workers[0].send_signal(signal.SIGKILL)
    _, errors = driver.communicate(timeout=400)
    assert driver.returncode == 0, errors
    check_every_row_once(out)
