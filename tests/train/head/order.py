"""A task that only order decides: two events hundreds of steps apart."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from tests.train.head.generated import write_dataset

STEPS, WIDTH, APART = 400, 16, 200


def order_videos(count: int, steps: int = STEPS, seed: int = 0) -> dict[str, np.ndarray]:
    """Noise with an event A and an event B; class 1 when A comes first.

    Both classes have both events once, so that the mean over time is the same.
    """
    rng = np.random.default_rng(seed)
    videos = {}
    for number in range(count):
        values = rng.standard_normal((steps, WIDTH), np.float32) * 0.1
        gap = int(rng.integers(steps * APART // STEPS, steps * 3 // 4))
        first = int(rng.integers(0, steps - gap - 8))
        a, b = (first, first + gap) if number % 2 else (first + gap, first)
        values[a : a + 8, 0] += 5.0
        values[b : b + 8, 1] += 5.0
        videos[f"video{number:04d}.mp4"] = values
    return videos


def write_order_task(
    folder: Path, count: int, steps: int = STEPS, split: bool = True
) -> tuple[Path, Path]:
    """The dataset and its labels.csv: three in five to learn from, one in five to test."""
    videos = order_videos(count, steps)
    features = write_dataset(folder / "features", videos, WIDTH)
    labels = folder / "labels.csv"
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uri", "label", *(["split"] if split else [])])
        for number, name in enumerate(videos):
            part = ("train", "train", "train", "val", "test")[number // 2 % 5]
            label = "A first" if number % 2 else "B first"
            writer.writerow([f"/videos/{name}", label, *([part] if split else [])])
    return features, labels
