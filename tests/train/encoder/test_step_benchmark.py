"""The benchmark of a training step runs, and says what it could not measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.kernels.cpu import needs_library

REPOSITORY = Path(__file__).parents[3]
SMALL = ("--num-frames", "2", "--size", "32", "--rounds", "1")


def bench(*flags: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.train_step", *map(str, flags)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@needs_library
def test_both_sides_agree_and_are_timed(tmp_path: Path) -> None:
    found = bench(*SMALL, "--json", tmp_path / "found.json")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "largest difference of loss and gradients" in found.stdout
    content = json.loads((tmp_path / "found.json").read_text())
    assert {name: len(seconds) for name, seconds in content["seconds"].items()} == {
        "cpu": 2, "torch": 2
    }  # fmt: skip
    assert 0 < content["error"] < 1e-3 and content["batch_size"] == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure")
def test_without_a_gpu_it_says_so() -> None:
    found = bench("--device", "cuda")
    assert found.returncode == 4 and "sees no NVIDIA GPU" in found.stderr
