"""Accuracy on sequences of others that went through `vfeat import` and `vfeat train head`.

    pip install --no-deps --target DATA aeon==1.6.0
    python benchmarks/imported_sequences.py DATA [--seeds 3] [--json FILE]

The package aeon ships some sets of the UEA archive of multivariate time series; only its data is
read. Each series becomes one .npy file, [steps, channels], as a research group might hand features
over. The archive's own split is used: a fifth of its training set, drawn by the seed, chooses the
epoch; its test set is measured once for each seed. Beside it stand the linear baseline that
`train head` computes itself (mean over time, logistic regression) and the archive's own baseline,
one nearest neighbour by dependent dynamic time warping (Bagnall et al. 2018, arXiv:1811.00075),
computed here.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

SETS = ("JapaneseVowels", "BasicMotions")


def read_ts(path: Path) -> Iterator[tuple[np.ndarray, str]]:
    """Yield the series of a `.ts` file: [steps, channels] and the class."""
    is_data = False
    for line in path.read_text().splitlines():
        if is_data and line.strip():
            *channels, label = line.strip().split(":")
            values = [np.array(channel.split(","), np.float64) for channel in channels]
            yield np.stack(values, axis=1), label
        is_data = is_data or line.strip().lower() == "@data"


def write_files(data: Path, name: str, folder: Path, seed: int) -> Path:
    """Write a set as .npy files and a table of labels with splits; return the table."""
    source = next(data.rglob(f"{name}_TRAIN.ts")).parent
    files = folder / "files"
    files.mkdir(parents=True)
    rows: list[tuple[str, str, str]] = []
    for split, ending in (("train", "TRAIN"), ("test", "TEST")):
        for place, (values, label) in enumerate(read_ts(source / f"{name}_{ending}.ts")):
            np.save(files / f"{split}-{place:04d}.npy", values.astype(np.float32))
            rows.append((f"{split}-{place:04d}", label, split))
    table = folder / "labels.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uri", "label", "split"])
        writer.writerows(held_out(rows, seed))
    return table


def held_out(rows: list[tuple[str, str, str]], seed: int) -> Iterator[tuple[str, str, str]]:
    """Move a fifth of each class of the training rows to `val`."""
    draw = np.random.default_rng(seed)
    for label in sorted({label for _, label, _ in rows}):
        mine = [row for row in rows if row[1] == label and row[2] == "train"]
        order = draw.permutation(len(mine))
        chosen = {mine[place][0] for place in order[: max(1, len(mine) // 5)]}
        for name, _, split in (row for row in rows if row[1] == label):
            yield name, label, "val" if name in chosen else split


def nearest_by_warping(data: Path, name: str) -> float:
    """Return the test accuracy of one nearest neighbour by dependent dynamic time warping."""
    source = next(data.rglob(f"{name}_TRAIN.ts")).parent
    train = list(read_ts(source / f"{name}_TRAIN.ts"))
    longest = max(len(values) for values, _ in train)
    known_NLD = np.stack([np.pad(v, ((0, longest - len(v)), (0, 0))) for v, _ in train])
    ends = np.array([len(values) for values, _ in train])
    right = count = 0
    for values, label in read_ts(source / f"{name}_TEST.ts"):
        before = np.full((longest + 1, len(train)), np.inf)
        before[0] = 0
        for step in values:
            cost_LN = ((known_NLD - step) ** 2).sum(2).T
            now = np.full_like(before, np.inf)
            for place in range(longest):
                least = np.minimum(np.minimum(before[place], before[place + 1]), now[place])
                now[place + 1] = cost_LN[place] + least
            before = now
        nearest = before[ends, np.arange(len(train))].argmin()
        right, count = right + (train[nearest][1] == label), count + 1
    return right / count


def vfeat(*words: str | Path) -> Any:
    """Run a command with --json and return its result."""
    done = subprocess.run(
        [sys.executable, "-m", "vfeat", *map(str, words), "--json"],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def measure(data: Path, name: str, seed: int, flags: list[str]) -> dict[str, Any]:
    """Import a set, train a head and measure it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        labels = write_files(data, name, folder, seed)
        features = folder / "features"
        imported = vfeat(
            "import", folder / "files", "--out", features, "--name", f"uea-{name}",
            "--step-seconds", "1",
        )  # fmt: skip
        [head] = vfeat(
            "train", "head", features, "--labels", labels, "--task", "classification",
            "--out", folder / "head", "--seed", str(seed), "--device", "cpu", *flags,
        )  # fmt: skip
    return {
        "set": name,
        "seed": seed,
        "sequences": sum(imported["videos"].values()),
        "steps": imported["totals"]["rows"],
        "head": head["metrics"]["test"]["top1"],
        "linear": head["baseline"]["test"]["top1"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="where the package aeon was unpacked")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    flags = ["--d-model", "128", "--epochs", "100", "--patience", "25"]
    runs = []
    for name in options.sets:
        for seed in range(options.seeds):
            runs.append(measure(options.data, name, seed, flags))
            print(json.dumps(runs[-1]), flush=True)
    warped = {name: nearest_by_warping(options.data, name) for name in options.sets}
    report(runs, warped)
    if options.json:
        about = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "flags": flags,
            "dtw_dependent_computed_here": warped,
            "runs": runs,
        }
        options.json.write_text(json.dumps(about, indent=1) + "\n")


def report(runs: list[dict[str, Any]], warped: dict[str, float]) -> None:
    """Print the median accuracy of each set over the seeds, with the smallest and the largest."""
    for name in dict.fromkeys(run["set"] for run in runs):
        mine = [run for run in runs if run["set"] == name]
        for side in ("head", "linear"):
            found = sorted(run[side] for run in mine)
            print(
                f"{name:16} {side:7} {statistics.median(found):.3f} "
                f"({found[0]:.3f} to {found[-1]:.3f}, {len(found)} seeds)"
            )
        print(f"{name:16} {'dtw_dependent':16} {warped[name]:.3f} computed here")


if __name__ == "__main__":
    main()
