"""Hours of video in one sequence: from Parquet to a prediction in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.classify.classifying import make_head
from tests.engine.commands import REPOSITORY, environment
from tests.train.head.generated import recipe_of, write_dataset

WIDTH, CLIP_S = 64, 2.0
# Peak memory beyond what the process held before, in bytes, of a run in this very process.
CLASSIFY = """
import json, sys
import torch
from tests.classify.classifying import classify, rows
torch.set_num_threads(1)

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

def growth(features, out, head, fields):
    open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
    before = status("VmRSS")
    assert classify(features, out, head, **fields).exit_code == 0
    grown = status("VmHWM") - before
    return {"bytes": grown, "rows": len(rows(out)), "clips": rows(out)[0]["clips"]}

print(json.dumps([growth(*run) for run in json.loads(sys.argv[1])]))
"""


def long_video(folder: Path, steps: int) -> Path:
    values = np.random.default_rng(steps).standard_normal((steps, WIDTH), np.float32)
    return write_dataset(folder, {"film.mp4": values}, WIDTH, recipe_of(WIDTH, CLIP_S))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_ten_hours_and_a_hundred_thousand_steps(tmp_path: Path) -> None:
    """All terms of the S4 kernels at once would be 1.6 GB; all windows in one batch, over 1 GB."""
    sizes = {"short": 50, "ten hours": 18_000, "long": 100_000}
    features = {name: long_video(tmp_path / name, steps) for name, steps in sizes.items()}
    head = make_head(tmp_path / "head", features["short"])
    windows = {"windows": True, "window_seconds": 1200.0, "hop_seconds": 20.0}
    runs = [
        (features["short"], "o1", {}),
        (features["ten hours"], "o2", {}),
        (features["ten hours"], "o3", windows),
        (features["long"], "o4", {}),
    ]
    asked = [(str(f), str(tmp_path / out), str(head), fields) for f, out, fields in runs]
    done = subprocess.run(
        [sys.executable, "-c", CLASSIFY, json.dumps(asked)],
        cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, hours, by_window, steps = json.loads(done.stdout)
    assert (hours["rows"], hours["clips"]) == (1, 18_000)
    assert (by_window["rows"], by_window["clips"]) == (1 + 1 + (36_000 - 1200) // 20, 18_000)
    assert (steps["rows"], steps["clips"]) == (1, 100_000)
    assert hours["bytes"] < 200 << 20
    assert by_window["bytes"] < 500 << 20
    assert steps["bytes"] < 350 << 20
