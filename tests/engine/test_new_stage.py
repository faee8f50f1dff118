"""A new stage is one folder and one line in a table: everything else works for it at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.engine.commands import REPOSITORY, environment, kill, wait_until
from tests.media.truth import OWN

WITH_STAGE = "import tests.engine.counting; from vfeat.cli import main; main()"
GENERIC = ["engine", "tables", "cli", "plan", "storage", "job"]
CLIPS = ["vfr.mp4", "vp9.webm", "hevc.mp4", "one_frame.mp4", "mjpeg.avi", "zero_bytes.mp4"]


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-c", WITH_STAGE, *map(str, words)]


def vfeat(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command with the stage in the table."""
    return subprocess.run(
        command(*words), env=environment(), capture_output=True, text=True, timeout=180, check=False
    )


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job file over a few clips, one of them broken."""
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in CLIPS:
        shutil.copy(OWN / name, clips)
    fields = {"kind": "count", "sources": [str(clips)], "out": str(tmp_path / "out")}
    (tmp_path / "count.yaml").write_text(yaml.safe_dump(fields))
    return tmp_path / "count.yaml"


def committed(out: Path) -> int:
    return len(list((out / "counts").glob("p*.parquet")))


def test_it_runs_on_ray_is_killed_resumed_verified_and_shown(job: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    planned = vfeat("plan", job, "--json")
    assert json.loads(planned.stdout)["videos"] == len(CLIPS), planned.stderr
    driver = subprocess.Popen(
        command("run", job, "--set", "pause_seconds=1.5"), env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until(lambda: committed(out) >= 1, 120, "a commit")
    kill(driver)
    assert 1 <= committed(out) < len(CLIPS), "killed too late to prove anything"
    assert vfeat("verify", out).returncode == 3
    resumed = vfeat("run", job, "--json")
    assert resumed.returncode == 3, resumed.stderr  # one file has no frame
    assert committed(out) == len(CLIPS)
    assert vfeat("verify", out).returncode == 0
    rows = json.loads(vfeat("show", out, "--json").stdout)
    frames = {Path(row["uri"]).name: row["frames"] for row in rows}
    truth = json.loads((OWN / "clips.json").read_text())
    known = {entry["file"]: len(entry["ticks"]) for entry in truth}
    assert frames == {name: known[name] for name in CLIPS if name != "zero_bytes.mp4"}
    assert "frames" in vfeat("show", out).stdout
    [error] = json.loads(vfeat("errors", out, "--json").stdout)
    assert error["uri"].endswith("zero_bytes.mp4") and error["error_class"] == "unreadable"
    status = vfeat("status", out, "--videos", "9")
    assert "6 of 6 committed" in status.stdout
    assert vfeat("run", job).returncode in (0, 3)
    assert committed(out) == len(CLIPS)


def test_a_dataset_of_a_stage_that_is_not_there_is_a_sentence(job: Path, tmp_path: Path) -> None:
    assert vfeat("run", job, "--set", "executor=inline").returncode == 3
    plain = subprocess.run(
        [sys.executable, "-m", "vfeat", "verify", str(tmp_path / "out")],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert plain.returncode == 2 and "test-counts" in plain.stderr


def test_no_generic_file_names_a_stage() -> None:
    """The table of jobs is the only file below the stages that names them."""
    for room in GENERIC:
        for path in (REPOSITORY / "vfeat" / room).rglob("*.py"):
            text = path.read_text()
            assert "counting" not in text
            if room == "engine":
                assert "vfeat.extract" not in text and "vfeat.classify" not in text, path
