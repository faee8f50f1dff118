"""Running the command as a user does: another process, its exit code and its output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VFEAT = [sys.executable, "-m", "vfeat"]
TINY_FLAGS = [
    *("--model", "videomamba", "--model-option", "embed_dim=16", "--model-option", "depth=1"),
    *("--weights", "random", "--size", "32", "--num-frames", "4", "--clip-seconds", "1"),
    *("--device", "cpu"),
]
REPOSITORY = Path(__file__).parents[2]


def environment(**extra: str) -> dict[str, str]:
    """The test's own, with the repository importable so that `tests.engine.faults` is found."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **extra}


def run(
    *arguments: str | Path, timeout_s: float = 180, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a vfeat command to its end."""
    return subprocess.run(
        [*VFEAT, *map(str, arguments)],
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def start(*arguments: str | Path, **extra: str) -> subprocess.Popen[str]:
    """Start a vfeat command and leave it running."""
    return subprocess.Popen(
        [*VFEAT, *map(str, arguments)],
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll; fail with `what` when it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:.0f} s"
        time.sleep(0.05)


def kill(process: subprocess.Popen[Any]) -> None:
    """SIGKILL, as the kernel's out-of-memory killer would."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def summary(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON a command printed with --json."""
    found: dict[str, Any] = json.loads(result.stdout)
    return found
