"""Cores are those that a process may use, and not those that the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vfeat.engine.cores import usable_cores
from vfeat.extract.spec import decoder_children

HERE = len(os.sched_getaffinity(0))


def limited(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder


def test_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == HERE
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    try:
        assert usable_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, mine)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("150000 100000", 1), ("50000 100000", 1), ("max 100000", HERE), ("9900000 100000", HERE)],
)
def test_the_limit_of_a_container_counts(tmp_path: Path, text: str, cores: int) -> None:
    assert usable_cores(limited(tmp_path, "cpu.max", text)) == min(cores, HERE)


def test_so_does_that_of_an_older_kernel(tmp_path: Path) -> None:
    limited(tmp_path, "cpu/cpu.cfs_period_us", "100000\n")
    assert usable_cores(limited(tmp_path, "cpu/cpu.cfs_quota_us", "100000\n")) == 1
    assert usable_cores(limited(tmp_path, "cpu/cpu.cfs_quota_us", "-1\n")) == HERE


def test_decoder_children_follow_from_the_cores_of_the_workers_machine() -> None:
    assert decoder_children(None, 32, gpu=True) == 31
    assert decoder_children(None, 32, gpu=False) == 8
    assert decoder_children(None, 1, gpu=True) == decoder_children(None, 1, gpu=False) == 1
    assert decoder_children(5, 32, gpu=True) == 5
