"""Workers that hang or are stopped: their work goes elsewhere, and nothing is done without end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.engine.commands import TINY_FLAGS, environment, wait_until
from tests.engine.jobs import slow_corpus, verified

# The command with less patience than a user's.
HASTY = (
    "import vfeat.engine.cluster_executor as executor; executor.SILENCE_S = 4.0; "
    "from vfeat.cli import main; main()"
)


@pytest.fixture
def corpus(own_clips: Path, tmp_path: Path) -> Path:
    return slow_corpus(own_clips, tmp_path)


def actors(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(driver.pid).children(recursive=True)
        if "ray::_Actor" in " ".join(child.cmdline())
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_that_is_stopped_is_replaced_and_its_shards_done_elsewhere(
    corpus: Path, tmp_path: Path, count: int
) -> None:
    out = tmp_path / "out"
    flags = [*TINY_FLAGS, "--decoder", "tests.engine.faults:faulty", "--shard-minutes", "0.001"]
    driver = subprocess.Popen(
        [sys.executable, "-c", HASTY, "extract", str(corpus), "--out", str(out), *flags,
         "--actors", str(count)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: len(list((out / "features").glob("*.parquet"))) >= 1, 120, "a commit")
    stopped = actors(driver)[0]
    stopped.send_signal(signal.SIGSTOP)
    _, errors = driver.communicate(timeout=180)
    assert driver.returncode == 0, errors
    assert "no sign of life for 4 s" in errors
    report = verified(out)
    assert report.pending_shards == report.error_clips == 0
    assert not stopped.is_running()


# A root that is another folder on every machine but the driver's.
ELSEWHERE = """
import sys
from vfeat.engine.watch import Watch
from vfeat.extract.run import ExtractRun
from vfeat.storage.root import Root
from tests.engine.jobs import tiny_job

class Elsewhere(Root):
    def __reduce__(self):
        return (Root, (sys.argv[3],))

run = ExtractRun(tiny_job(sys.argv[1], sys.argv[2], executor="ray"), Watch())
run.root = Elsewhere(sys.argv[1])
try:
    run.run()
finally:
    run.close()
"""


def test_an_out_that_machines_do_not_share_is_refused_before_any_work(
    own_clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(out), str(own_clips / "av1.mp4"),
         str(tmp_path / "other")],
        env=environment(), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert ended.returncode != 0
    assert "JobError" in ended.stderr and "is another folder than here" in ended.stderr
    assert not list(out.glob("features/*")) and not list((tmp_path / "other").glob("features/*"))
