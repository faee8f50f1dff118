"""The engine on Ray under real faults: whatever dies, one row for each clip."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import uuid
from pathlib import Path

import psutil
import pytest

from tests.engine.commands import TINY_FLAGS, kill, run, start, summary, wait_until
from tests.engine.jobs import keys, slow_corpus, verified

FAULTY = ("--decoder", "tests.engine.faults:faulty")


@pytest.fixture
def corpus(own_clips: Path, tmp_path: Path) -> Path:
    return slow_corpus(own_clips, tmp_path)


def committed(out: Path) -> int:
    return len(list((out / "features").glob("*.parquet"))) if out.exists() else 0


def marked(mark: str) -> list[str]:
    """Processes that inherited a variable of the command's environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("VFEAT_TEST_MARK") == mark:
                found.append(" ".join(process.cmdline()))
    return found


def test_crashing_and_hanging_videos_cost_only_themselves(own_clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("crash.mp4", "good.mp4", "hang.mp4", "other.mp4"):
        shutil.copy(own_clips / "cfr25_bframes.mp4", folder / name)
    out = tmp_path / "out"
    result = run(
        "extract", folder, "--out", out, *TINY_FLAGS, *FAULTY,
        "--decode-timeout-seconds", "2", "--json",
    )  # fmt: skip
    assert result.returncode == 3, result.stderr
    assert summary(result)["errors"] == {"crashed": 1, "timeout": 1}
    verified(out)
    rows = keys(out)
    assert {name for name, _ in rows} == {"good.mp4", "other.mp4"}
    messages = run("errors", out, "--json").stdout
    assert "SIGSEGV" in messages and "crash.mp4" in messages and "hang.mp4" in messages


def test_sigkill_of_the_driver_then_the_same_command_finishes(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["extract", corpus, "--out", out, *TINY_FLAGS, *FAULTY, "--shard-minutes", "0.001"]
    driver = start(*command)
    wait_until(lambda: committed(out) >= 2, 120, "two commits")
    kill(driver)
    before = committed(out)
    partial = verified(out)
    assert partial.pending_shards > 0, "killed too late to prove anything"
    result = run(*command)
    assert result.returncode == 0, result.stderr
    report = verified(out)
    assert report.pending_shards == 0
    assert committed(out) > before
    assert len(keys(out)) == len(set(keys(out))) == report.rows
    again = run(*command)
    assert again.returncode == 0 and "Nothing to do" in again.stdout


def test_sigkill_of_a_worker_is_survived(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    driver = start(
        "extract", corpus, "--out", out, *TINY_FLAGS, *FAULTY, "--shard-minutes", "0.001"
    )
    wait_until(lambda: committed(out) >= 1, 120, "a commit")
    workers = [
        child
        for child in psutil.Process(driver.pid).children(recursive=True)
        if "ray::_Actor" in " ".join(child.cmdline())
    ]
    assert workers
    decoders = [c.pid for w in workers for c in w.children(recursive=True)]
    workers[0].send_signal(signal.SIGKILL)
    _, errors = driver.communicate(timeout=180)
    assert driver.returncode == 0, errors
    report = verified(out)
    assert report.pending_shards == report.error_clips == 0
    wait_until(lambda: not any(map(psutil.pid_exists, decoders)), 10, "orphans are gone")


def test_one_interrupt_finishes_what_runs_and_says_how_to_go_on(
    corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["extract", corpus, "--out", out, *TINY_FLAGS, *FAULTY, "--shard-minutes", "0.001"]
    driver = start(*command)
    wait_until(lambda: committed(out) >= 1, 120, "a commit")
    driver.send_signal(signal.SIGINT)
    output, errors = driver.communicate(timeout=120)
    assert driver.returncode == 130, errors
    assert f"vfeat extract {corpus}" in errors and "Go on" in output
    assert verified(out).pending_shards > 0
    assert run(*command).returncode == 0
    assert verified(out).pending_shards == 0


def test_nothing_is_left_running_and_nothing_to_do_starts_no_ray(
    own_clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["extract", own_clips / "one_frame.mp4", "--out", out, *TINY_FLAGS]
    mark = uuid.uuid4().hex
    assert run(*command, VFEAT_TEST_MARK=mark).returncode == 0
    wait_until(lambda: not marked(mark), 20, "Ray, actors and decoders are gone")
    # an address that no cluster has: the command must not even try it
    again = run(*command, "--address", "127.0.0.1:1")
    assert again.returncode == 0, again.stderr
    assert "Nothing to do" in again.stdout


def test_an_unreachable_cluster_is_one_sentence(own_clips: Path, tmp_path: Path) -> None:
    result = run(
        "extract", own_clips / "one_frame.mp4", "--out", tmp_path / "out", *TINY_FLAGS,
        "--address", "127.0.0.1:1",
    )  # fmt: skip
    assert result.returncode == 4
    assert "127.0.0.1:1" in result.stderr and "Traceback" not in result.stderr


def test_an_address_of_ray_client_is_refused_with_the_reason_and_the_way_out(
    own_clips: Path, tmp_path: Path
) -> None:
    command = ["extract", own_clips / "one_frame.mp4", "--out", tmp_path / "out", *TINY_FLAGS]
    for result in (
        run(*command, "--address", "ray://head:10001"),
        run(*command, RAY_ADDRESS="ray://head:10001"),
    ):
        assert result.returncode == 2, result.stderr
        text = " ".join(result.stderr.split())
        assert "Ray Client" in text and "head:6379" in text and "ray job submit" in text


def test_missing_weights_are_found_before_ray_starts(own_clips: Path, tmp_path: Path) -> None:
    flags = [flag if flag != "random" else "/no/such.pth" for flag in TINY_FLAGS]
    result = run(
        "extract", own_clips, "--out", tmp_path / "out", *flags, "--address", "127.0.0.1:1"
    )
    assert result.returncode == 4
    assert "/no/such.pth" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_weights_that_do_not_fit_are_one_sentence(own_clips: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(os.urandom(1000))
    flags = [flag if flag != "random" else str(tmp_path / "weights.pth") for flag in TINY_FLAGS]
    result = run("extract", own_clips / "vp9.webm", "--out", tmp_path / "out", *flags)
    assert result.returncode == 2, result.stderr
    assert "weights.pth" in result.stderr and "Traceback" not in result.stderr


def test_an_interrupt_before_any_work_is_orderly(own_clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i in range(200):
        (folder / f"{i}.mp4").symlink_to(own_clips / "cfr25_bframes.mp4")
    out = tmp_path / "out"
    driver = start("extract", folder, "--out", out, *TINY_FLAGS)
    wait_until(lambda: (out / "dataset.json").exists(), 60, "the dataset's root")
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130, errors
    assert "Traceback" not in errors
