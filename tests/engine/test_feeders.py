"""Decode pools on the nodes of a real cluster: they help, and cost nothing when they die."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import vfeat
from tests.engine.cluster import Nodes, cluster
from tests.engine.commands import TINY_FLAGS, environment, run, summary, wait_until
from tests.engine.jobs import keys, tiny_job, verified
from vfeat.extract.run import run_job
from vfeat.tables.status import open_errors

FAULTY = ("--decoder", "tests.engine.faults:faulty")
CLIPS = 6  # of the video that is copied
LONG = 24  # videos of a run that is disturbed
# The command with less patience with feeders than a user's.
HASTY = (
    "import vfeat.engine.feeders as feeders; feeders.SILENCE_S = 6.0; "
    "from vfeat.cli import main; main()"
)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Three nodes; the second one declares a GPU, which its worker then does not find."""
    folder = Path(tempfile.mkdtemp(prefix="vf", dir="/tmp"))
    plain: dict[str, Any] = {"num_cpus": 2}
    try:
        with cluster(folder, plain, {**plain, "num_gpus": 1}, plain) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def corpus(own_clips: Path, folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        shutil.copy(own_clips / "cfr25_bframes.mp4", folder / name)
    return folder


def command(folder: Path, out: Path, nodes: Nodes, *flags: str) -> list[str]:
    return [
        "extract", str(folder), "--out", str(out), *TINY_FLAGS, *FAULTY, "--json",
        "--address", nodes.address, "--device", "auto", *flags,
    ]  # fmt: skip


def children(actor: psutil.Process) -> set[int]:
    """Decoder processes of an actor; none when it is gone."""
    try:
        return {child.pid for child in actor.children(recursive=True)}
    except psutil.Error:
        return set()


def embeddings(out: Path) -> dict[tuple[str, int], list[float]]:
    rows = vfeat.open(str(out)).to_arrow(["uri", "clip_index", "embedding"]).to_pylist()
    return {(Path(r["uri"]).name, r["clip_index"]): r["embedding"] for r in rows}


def errors(out: Path) -> list[tuple[str, str, int]]:
    found = ((Path(e["uri"]).name, e["error_class"], e["attempts"]) for e in open_errors(str(out)))
    return sorted(found)


def test_nodes_without_a_gpu_decode_for_the_one_with_it_and_blame_is_exact(
    nodes: Nodes, own_clips: Path, tmp_path: Path
) -> None:
    crashing = [f"crash{i}.mp4" for i in range(4)]
    folder = corpus(own_clips, tmp_path / "corpus", *crashing, *(f"slow{i}.mp4" for i in range(6)))
    alone, out = tmp_path / "alone", tmp_path / "out"
    run_job(tiny_job(alone, folder, decoder=FAULTY[1], decode_workers=4))
    result = run(*command(folder, out, nodes))
    assert result.returncode == 3, result.stderr
    told = summary(result)
    assert told["errors"] == {"crashed": 4} and told["feeders"] == 2
    assert told["fed_clips"] > 0
    limit = told["bottleneck"]  # the children of both feeders count
    assert limit["workers"] == 1 and limit["decoders"] > 2 and limit["shares"]["decode"] > 0
    verified(out)
    ours, theirs = embeddings(out), embeddings(alone)
    assert ours.keys() == theirs.keys() and len(ours) == 6 * CLIPS
    for key, vector in theirs.items():
        assert ours[key] == pytest.approx(vector, rel=1e-3, abs=1e-4)
    assert errors(out) == errors(alone)


@pytest.fixture
def long_run(nodes: Nodes, own_clips: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in which two feeders have begun to decode."""
    names = [f"slow{i:02d}.mp4" for i in range(LONG)]
    folder = corpus(own_clips, tmp_path / "corpus", *names)
    words = command(folder, tmp_path / "out", nodes, "--shard-minutes", "0.05")
    driver = subprocess.Popen(
        [sys.executable, "-c", HASTY, *words],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(
        lambda: len([a for a in nodes.actors("_Feeder") if len(children(a)) == 2]) == 2,
        120, "two feeders with two children each",
    )  # fmt: skip
    assert driver.poll() is None, driver.communicate()
    yield driver
    if driver.poll() is None:
        driver.kill()
        driver.communicate(timeout=30)


def assert_complete(driver: subprocess.Popen[str], out: Path) -> str:
    """The run ends well, with all rows and no error; returns what it said."""
    _, said = driver.communicate(timeout=240)
    assert driver.returncode == 0, said
    assert verified(out).pending_shards == 0
    names = [f"slow{i:02d}.mp4" for i in range(LONG)]
    assert keys(out) == sorted((name, clip) for name in names for clip in range(CLIPS))
    assert errors(out) == []
    return said


def test_a_feeder_that_is_killed_and_one_that_is_stopped_cost_a_retry_and_no_blame(
    nodes: Nodes, long_run: subprocess.Popen[str], tmp_path: Path
) -> None:
    killed, stopped = nodes.actors("_Feeder")
    killed.send_signal(signal.SIGKILL)
    stopped.send_signal(signal.SIGSTOP)
    said = assert_complete(long_run, tmp_path / "out")
    assert said.count("what it had in hand goes to others") >= 2, said
    assert "no sign of life for 6 s" in said
    assert "worker-" not in said, said


def test_feeders_outlive_their_worker_and_work_for_the_next_one(
    nodes: Nodes, long_run: subprocess.Popen[str], tmp_path: Path
) -> None:
    feeders = nodes.actors("_Feeder")
    before = {child for feeder in feeders for child in children(feeder)}
    [worker] = nodes.actors("_Actor")
    worker.send_signal(signal.SIGKILL)
    wait_until(
        lambda: all(children(f) and not children(f) & before for f in feeders),
        120, "fresh decoders for another worker",
    )  # fmt: skip
    assert nodes.actors("_Actor") != [worker]
    said = assert_complete(long_run, tmp_path / "out")
    assert "worker-1 died" in said and "worker-2" not in said, said
