"""Swift in a virtual environment of its own, made once."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


class CannotInstall(Exception):
    """No network, no compiler, or another reason of pip's."""


def swift_bin() -> Path:
    """The `bin` folder of an environment with Swift; takes some seconds the first time.

    It lies in $VFEAT_TEST_CACHE/swift, or in .venv-swift at the root of the repository.
    """
    cache = os.environ.get("VFEAT_TEST_CACHE")
    folder = Path(cache) / "swift" if cache else REPOSITORY / ".venv-swift"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # several test runs may start at once
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed.txt"
        wanted = f"{sys.version}\n{folder}\n{REQUIREMENTS.read_text()}"
        if not done.is_file() or done.read_text() != wanted:
            _run([sys.executable, "-m", "venv", "--clear", str(folder)])
            pip = [str(folder / "bin" / "pip"), "--disable-pip-version-check", "--timeout", "15"]
            _run([*pip, "install", "--quiet", "--retries", "1", "-r", str(REQUIREMENTS)])
            done.write_text(wanted)
    return folder / "bin"


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise CannotInstall(lines[-1])
