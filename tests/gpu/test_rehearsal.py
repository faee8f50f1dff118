"""`make gpu REHEARSE=1`: every step runs here, so that on a GPU none of them ends by a typo."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.gpu.plan import STEPS
from benchmarks.gpu.targets import TARGETS

ROOT = Path(__file__).parents[2]
PARTS = ("Makefile", "benchmarks", "jobs", "kernels", "tests/golden", "vfeat")


class Rehearsal(NamedTuple):
    """One run: what it printed, its file, and the checkout before and after."""

    code: int
    shown: str
    path: Path
    before: dict[str, int]
    after: dict[str, int]

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.path.read_text())
        return content


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Run all steps from a copy of the checkout that cannot be written."""
    pytest.importorskip("triton")
    checkout = tmp_path_factory.mktemp("read-only") / "vfeat"
    for part in PARTS:
        copy = shutil.copy if (ROOT / part).is_file() else _copy_folder
        (checkout / part).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / part, checkout / part)
    _permit(checkout, 0o555)
    before, out = _files(checkout), tmp_path_factory.mktemp("results")
    command = ["make", "-C", str(checkout), "gpu", "REHEARSE=1", f"OUT={out}"]
    # Minutes of a loaded machine are not those of the run.
    environment = {**os.environ, "PYTHON": sys.executable, "MINUTES": "60"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = list(out.glob("*.json"))
    assert len(found) == 1, done.stdout + done.stderr
    after = _files(checkout)
    _permit(checkout, 0o755)  # so that pytest can delete it
    yield Rehearsal(done.returncode, done.stdout + done.stderr, found[0], before, after)


def _copy_folder(source: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "results")
    shutil.copytree(source, target, symlinks=True, ignore=ignored)


def _permit(checkout: Path, mode: int) -> None:
    for folder, _, _ in os.walk(checkout):
        Path(folder).chmod(mode)


def _files(checkout: Path) -> dict[str, int]:
    """Every file with the time of its change, but for bytecode and the C++ kernels."""
    return {
        str(path.relative_to(checkout)): path.lstat().st_mtime_ns
        for path in checkout.rglob("*")
        if path.suffix not in (".so", ".pyc") and not path.is_dir()
    }


@pytest.mark.slow
def test_every_step_runs_to_its_end(rehearsal: Rehearsal) -> None:
    states = {key: entry["state"] for key, entry in rehearsal.content["steps"].items()}
    assert states == {step.key: "done" for step in STEPS}, rehearsal.shown
    assert rehearsal.code == 0
    for step in STEPS:
        entry = rehearsal.content["steps"][step.key]
        assert entry["results"]["headline"] and entry["results"]["headline"] in rehearsal.shown


def test_no_target_is_met_or_missed_without_a_gpu(rehearsal: Rehearsal) -> None:
    verdicts = {target["name"]: target["verdict"] for target in rehearsal.content["targets"]}
    assert verdicts.keys() == {target.name for target in TARGETS}
    assert set(verdicts.values()) == {"rehearsed", "not measured"}


def test_the_kernels_were_compared_and_timed(rehearsal: Rehearsal) -> None:
    steps = rehearsal.content["steps"]
    checks = steps["b"]["results"]["checks"]
    kinds = {check["name"].split()[0] for check in checks}
    assert kinds == {"block", "segments", "scan", "norm", "pixels", "bits", "golden", "graph"}
    assert all(check["share_of_allowed"] <= 1 for check in checks)
    roles = {(case["what"], case["role"]) for case in steps["c"]["results"]["cases"]}
    assert {("model", "batch 1"), ("block", "filling"), ("model", "long")} <= roles


def test_rows_of_ray_on_a_declared_gpu_equal_the_cpus(rehearsal: Rehearsal) -> None:
    found = rehearsal.content["steps"]["d"]["results"]
    assert found["gpu_ray"]["executor"] == "ray"
    rows = found["gpu_ray_difference"]["rows"]
    # a run of a second, whose counters are asked for after its last lease
    assert rows == found["cpu"]["encoded_clips"] == found["gpu_ray"]["encoded_clips"] > 0
    assert found["gpu_ray"]["computed_share"] > 0
    assert 0 < found["gpu_ray_difference"]["worst_error"] < 6e-2


def test_results_hold_no_path_and_no_host_name(rehearsal: Rehearsal) -> None:
    text = rehearsal.path.read_text()
    for place in (rehearsal.path.parent, ROOT, Path.home(), Path(sys.prefix)):
        assert str(place) not in text
    assert len(socket.gethostname()) < 4 or socket.gethostname() not in text


def test_a_read_only_checkout_stays_as_it_was(rehearsal: Rehearsal) -> None:
    assert rehearsal.after == rehearsal.before
