"""Runs of the `vfeat` command, as a user would type it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run_vfeat(arguments: Sequence[str], folder: Path) -> None:
    """Run `vfeat ARGUMENTS` in a folder, its output passed through.

    Raises:
        SystemExit: with the command's exit code, where that is not 0.
    """
    process = subprocess.Popen([sys.executable, "-m", "vfeat", *arguments], cwd=folder)
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            continue  # Ctrl-C reached the command too, which keeps a checkpoint before it ends
    if code:
        raise SystemExit(code)
