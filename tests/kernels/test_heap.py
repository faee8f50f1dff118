"""Freed memory stays: the next block of its size is there already."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vfeat.kernels.heap import keep_freed_memory

COUNT_FAULTS = """
import resource, sys, torch
from vfeat.kernels.heap import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(3)
for block in range(50):
    torch.ones(48 << 18)  # 48 MB, 12,288 pages
    if block == 29:  # small blocks have found their places between the large ones
        first = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - first)
"""


def faults(mode: str) -> int:
    command = [sys.executable, "-c", COUNT_FAULTS, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("this C library has no mallopt")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_blocks_are_touched_once() -> None:
    pages = 20 * (48 << 20) // 4096
    kept, given_back = faults("keep"), faults("leave")
    assert kept < pages / 20
    assert kept < given_back / 2  # huge pages make few faults of many


def test_it_may_be_said_twice() -> None:
    assert keep_freed_memory() == keep_freed_memory()
