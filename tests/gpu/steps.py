"""Steps that end well, badly, or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu.assignment import Assignment, StepFailed

DOCUMENT = "VFEAT_TEST_DOCUMENT"


def good(job: Assignment) -> None:
    job.record("headline", "all is well")


def raises(job: Assignment) -> None:
    job.record("measured", 1)
    raise ZeroDivisionError("of no use")


def verdict(job: Assignment) -> None:
    raise StepFailed("two rows differ")


def hangs(job: Assignment) -> None:
    """Leave a process of its own behind, which ignores the polite signal."""
    sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    job.record("child", subprocess.Popen([sys.executable, "-c", sleep]).pid)
    time.sleep(600)


def killed(job: Assignment) -> None:
    job.record("measured", 2)
    os.kill(os.getpid(), signal.SIGKILL)


def reads_itself(job: Assignment) -> None:
    """End only when what it recorded is in the document."""
    job.record("measured", 3)
    while job.left_s > 0:
        content = json.loads(Path(os.environ[DOCUMENT]).read_text())
        if content["steps"]["a"].get("results") == {"measured": 3}:
            return
        time.sleep(0.05)
    raise StepFailed("not recorded while it ran")


def names_places(job: Assignment) -> None:
    job.record("place", f"{Path.home()}/data/file.mp4 and {job.scratch}")
    raise FileNotFoundError(f"no {job.scratch}/clip.mp4, {job.result}")
