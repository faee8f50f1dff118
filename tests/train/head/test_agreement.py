"""What a training measured is what `vfeat classify` says of the same videos."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.engine.commands import run
from tests.train.head.generated import write_dataset
from tests.train.head.jobs import head_job
from vfeat.train.head.run import train_heads

WIDTH, VIDEOS = 6, 30


def test_classify_says_what_the_test_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    videos, lines, splits = {}, [], {}
    for number in range(VIDEOS):
        values = rng.standard_normal((int(rng.integers(5, 25)), WIDTH), np.float32)
        name, split = f"v{number:02d}", ("train", "train", "val", "test", "test")[number // 2 % 5]
        splits[f"/videos/{name}.mp4"] = (split, "xy"[number % 2], float(values.mean()))
        videos[f"{name}.mp4"] = values
        lines.append([name, "xy"[number % 2], float(values.mean()), split])
    failed = {"v06.mp4": [1, 2], "v07.mp4": [0]}  # of the test split
    features = write_dataset(tmp_path / "features", videos, WIDTH, failed=failed)
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["uri", "class", "value", "split"], *lines])
    heads = train_heads(
        head_job(
            features, tmp_path / "heads", labels=str(tmp_path / "labels.csv"),
            tasks={"class": "classification", "value": "regression"}, window_seconds=8.0,
            hop_seconds=1.0, d_model=8, n_layers=2, epochs=2,
        )
    )  # fmt: skip
    out = tmp_path / "predictions"
    done = run(
        *("classify", features, "--head", tmp_path / "heads", "--out", out),
        *("--executor", "inline", "--device", "cpu"),
    )
    assert done.returncode == 0, done.stderr
    rows = [
        r for f in (out / "predictions").glob("*.parquet") for r in pq.read_table(f).to_pylist()
    ]
    said = {(row["head"], row["uri"]): row["labels"][0] for row in rows}
    test = [(uri, label, value) for uri, (split, label, value) in splits.items() if split == "test"]
    assert len(rows) == 2 * VIDEOS and len(test) == heads[0].videos["test"] == 12
    right = [said["class", uri]["label"] == label for uri, label, _ in test]
    assert heads[0].metrics["test"].top1 == pytest.approx(np.mean(right))
    errors = [(said["value", uri]["score"] - value) ** 2 for uri, _, value in test]
    assert heads[1].metrics["test"].mse == pytest.approx(np.mean(errors), rel=1e-4)
