"""Starts `triton_laws.py` where triton interprets its kernels on CPU tensors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LAWS = Path(__file__).with_name("triton_laws.py")


@pytest.mark.slow
def test_the_kernels_obey_their_laws_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(LAWS)],
        env={**os.environ, "TRITON_INTERPRET": "1", "VFEAT_KERNEL": "triton"},
        cwd=LAWS.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
