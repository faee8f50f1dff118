"""A worker does not outlive the Ray of its node."""

from __future__ import annotations

import subprocess
import sys

import psutil

from tests.engine.commands import environment, wait_until

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
time.sleep(600)
"""
CHILD = """
import time
from vfeat.engine.orphan import end_with_raylet
end_with_raylet(0.1)
time.sleep(600)
"""


def test_a_process_ends_soon_after_the_one_that_started_it() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    wait_until(lambda: len(child.threads()) > 1, 60, "the child watches")
    parent.kill()
    parent.wait()
    wait_until(lambda: not _lives(child), 60, "the child is gone")


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
