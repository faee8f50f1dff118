"""Laws of the runner: a step costs only itself, and nothing that was measured is lost."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu.document import Document, plain
from benchmarks.gpu.machine import card_facts
from benchmarks.gpu.plan import STEPS, Step, pick
from benchmarks.gpu.runner import Run, environment, run_steps
from tests.gpu.steps import DOCUMENT


def step(key: str, function: str, limit_s: float = 60) -> Step:
    return Step(key, function, limit_s, f"tests.gpu.steps:{function}")


def run(folder: Path, *steps: Step, seconds: float = 300) -> tuple[bool, dict[str, Any]]:
    """Run steps; return whether all ended well, and their entries in the file."""
    document = Document(folder, "NVIDIA H200")
    given = Run(folder / "scratch", time.monotonic() + seconds, rehearse=True)
    good = run_steps(steps, given, document)
    return good, json.loads(document.path.read_text())["steps"]


def test_a_step_that_raises_hangs_or_is_killed_costs_only_itself(tmp_path: Path) -> None:
    good, found = run(
        tmp_path,
        step("a", "raises"),
        step("b", "hangs", limit_s=4),
        step("c", "killed"),
        step("d", "verdict"),
        step("e", "good"),
    )
    assert not good
    states = {key: entry["state"] for key, entry in found.items()}
    assert states == {
        "a": "failed", "b": "timed out", "c": "killed", "d": "failed", "e": "done"
    }  # fmt: skip
    # What they had measured is there, and each error names its cause.
    assert found["a"]["results"] == {"measured": 1}
    assert "ZeroDivisionError: of no use" in found["a"]["error"]
    assert found["c"]["results"] == {"measured": 2} and "SIGKILL" in found["c"]["error"]
    assert found["d"]["error"] == "two rows differ"
    # Nothing that a step started outlives it.
    child = found["b"]["results"]["child"]
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


def test_what_a_step_measured_is_in_the_file_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = Document(tmp_path, "card")
    monkeypatch.setenv(DOCUMENT, str(document.path))
    given = Run(tmp_path / "scratch", time.monotonic() + 300, rehearse=True)
    assert run_steps([step("a", "reads_itself")], given, document)


def test_a_step_without_time_is_not_begun(tmp_path: Path) -> None:
    good, found = run(tmp_path, step("a", "good"), seconds=5)
    assert not good and found["a"]["state"] == "not run"


def test_results_name_no_place_and_no_machine(tmp_path: Path) -> None:
    _, found = run(tmp_path, step("a", "names_places"))
    text = json.dumps(found)
    assert "file.mp4" in text and "clip.mp4" in text
    assert str(tmp_path) not in text and str(Path.home()) + "/" not in text
    assert plain(f"on {socket.gethostname()}-x: /a/b/c.py, 3.5 clips/s, s3://b/k/x, a/b") == (
        f"on {plain(socket.gethostname())}-x: c.py, 3.5 clips/s, s3://b/k/x, a/b"
    )


def test_folders_that_are_given_are_found_from_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "site")
    monkeypatch.setenv("VFEAT_CLIPS", "videos")
    monkeypatch.setenv("VFEAT_KERNEL", "torch")
    found = environment(step("a", "good"), Run(tmp_path / "scratch", 0.0, rehearse=False))
    assert found["PYTHONPATH"].split(":")[1:] == [str(tmp_path / "site")]
    assert found["VFEAT_CLIPS"] == str(tmp_path / "videos")
    assert "VFEAT_KERNEL" not in found  # each step chooses for itself


def test_the_card_is_named_by_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA H200, 580.1, 143771 MiB, 1980 MHz, 3201 MHz'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert card_facts()["name"] == "NVIDIA H200" and card_facts()["driver_version"] == "580.1"
    driver.write_text("#!/bin/sh\necho 'no devices were found'; exit 6\n")
    assert card_facts() == {}


def test_two_runs_of_a_minute_are_two_files(tmp_path: Path) -> None:
    paths = {Document(tmp_path, "NVIDIA H100 80GB HBM3").path for _ in range(3)}
    assert len(paths) == 3 and all("h100-80gb-hbm3" in path.name for path in paths)


def test_steps_are_picked_by_letter_and_run_in_their_order() -> None:
    assert pick(None) == pick("") == STEPS
    assert [one.key for one in pick("c, a")] == ["a", "c"]
    with pytest.raises(ValueError, match=r"no step x; steps are a \(the machine\), "):
        pick("a,x")


def test_the_exit_code_is_0_where_all_steps_ended_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for function, code in (("good", 0), ("raises", 1)):
        monkeypatch.setattr(command, "pick", lambda _, f=function: (step("a", f),))
        assert command.main(["--rehearse", "--out", str(tmp_path)]) == code
    shown = capsys.readouterr().out
    assert "all is well" in shown and "! ZeroDivisionError: of no use" in shown
    monkeypatch.undo()
    assert command.main(["--rehearse", "--steps", "z"]) == 2
    (tmp_path / "file").write_text("")
    assert command.main(["--rehearse", "--out", str(tmp_path / "file")]) == 2


INTERRUPTED = """
import sys
from benchmarks.gpu import __main__ as command
from tests.gpu.test_runner import step
command.pick = lambda _: (step("a", "hangs"), step("b", "good"))
sys.exit(command.main(["--rehearse", "--out", sys.argv[1]]))
"""


def test_a_run_that_is_ended_keeps_what_it_has_and_leaves_nothing_running(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    run = subprocess.Popen(arguments, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    child = None
    while child is None:
        assert run.poll() is None
        for path in tmp_path.glob("*.json"):
            steps = json.loads(path.read_text())["steps"]
            child = steps.get("a", {}).get("results", {}).get("child")
        time.sleep(0.05)
    run.terminate()
    shown, _ = run.communicate(timeout=60)
    assert run.returncode == 130 and b"interrupted" in shown
    (path,) = tmp_path.glob("*.json")
    steps = json.loads(path.read_text())["steps"]
    assert steps["a"]["state"] == "interrupted" and steps["a"]["results"]["child"] == child
    assert steps["b"]["state"] == "to do"
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure")
def test_without_a_gpu_it_says_so_in_one_line_and_writes_nothing(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path)]
    done = subprocess.run(
        arguments, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (4, "", command.NO_GPU + "\n")
    assert not list(tmp_path.iterdir())
