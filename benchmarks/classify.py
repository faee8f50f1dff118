"""Stage two from Parquet to predictions: reading beside the model, and the whole command.

    python -m benchmarks.classify [--videos 40] [--steps 600] [--width 192] [--json FILE]

Sides in one run, over the same generated features (random, in the real format):

    read     every sequence off the disk, in order, and nothing else
    model    the head on sequences that are in memory
    classify `vfeat classify` in this process: read, classify, write predictions

Before a ratio is printed, the predictions on disk must agree with the head within 1e-4.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.dataset as pads
import torch

import vfeat
from tests.train.head.generated import recipe_of, write_dataset
from vfeat.classify.run import ClassifyRun
from vfeat.engine.watch import Watch
from vfeat.job.spec import ClassifyJob, parse_job
from vfeat.models import create_model, save_model
from vfeat.sequences.head import HEAD_FILE, Head, load_head, load_head_model
from vfeat.sequences.reader import FeatureSequence, SequenceReader

GATE = 1e-4


def prepare(folder: Path, videos: int, steps: int, width: int) -> tuple[Path, Path]:
    """Features and a head with seeded weights."""
    rng = np.random.default_rng(0)
    names = (f"{number:05d}.mp4" for number in range(videos))
    values = ((name, rng.standard_normal((steps, width), np.float32)) for name in names)
    features = write_dataset(folder / "features", values, width)
    config = {"d_input": width, "l_max": steps, "d_output": 10, "d_model": width, "n_layers": 3}
    head = folder / "head"
    save_model(create_model("vis4mer", weights="random", **config), str(head))
    classes = tuple(f"class {number}" for number in range(10))
    about = Head(str(head), "bench", "classification", classes, recipe_of(width), width)
    (head / HEAD_FILE).write_text(json.dumps(about.to_json()))
    return features, head


def read_all(features: Path) -> list[FeatureSequence]:
    """Every sequence, in order."""
    reader = SequenceReader(vfeat.open(str(features)))
    return [reader.read(ref) for ref in reader.refs()]


def forward_all(head: Path, sequences: list[FeatureSequence]) -> list[np.ndarray]:
    """The head on each sequence by itself."""
    model = load_head_model(load_head(str(head)))
    with torch.inference_mode():
        return [
            model(torch.from_numpy(one.values_LD)[None], torch.from_numpy(one.mask_L)[None])[0]
            .float()
            .numpy()
            for one in sequences
        ]


def classify_all(features: Path, head: Path, out: Path) -> None:
    """The command's own code, in this process."""
    job = parse_job(
        {
            "kind": "classify", "features": str(features), "heads": [str(head)], "out": str(out),
            "executor": "inline", "device": "cpu",
        }
    )  # fmt: skip
    assert isinstance(job, ClassifyJob)
    run = ClassifyRun(job, Watch())
    run.run()
    run.close()


def worst_error(out: Path, features: Path, expected: list[np.ndarray]) -> float:
    """Largest relative difference of the logits on disk."""
    rows = pads.dataset(out / "predictions", format="parquet").to_table().to_pylist()
    found = {row["video_id"]: np.asarray(row["logits"]) for row in rows}
    refs = list(SequenceReader(vfeat.open(str(features))).refs())
    if found.keys() != {ref.video_id for ref in refs}:
        return float("inf")
    pairs = zip(refs, expected, strict=True)
    return max(
        float(np.linalg.norm(found[ref.video_id] - logits) / np.linalg.norm(logits))
        for ref, logits in pairs
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", help="write the figures here")
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {"read": [], "model": [], "classify": []}
    error = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        shape = (arguments.videos, arguments.steps, arguments.width)
        features, head = prepare(Path(scratch), *shape)
        size = sum(file.stat().st_size for file in (features / "features").iterdir())
        for number in range(arguments.repeat):
            began = time.perf_counter()
            sequences = read_all(features)
            seconds["read"].append(time.perf_counter() - began)
            began = time.perf_counter()
            expected = forward_all(head, sequences)
            seconds["model"].append(time.perf_counter() - began)
            began = time.perf_counter()
            out = Path(scratch) / f"out{number}"
            classify_all(features, head, out)
            seconds["classify"].append(time.perf_counter() - began)
            error = max(error, worst_error(out, features, expected))
    return report(seconds, error, size, arguments)


def report(
    seconds: dict[str, list[float]], error: float, size: int, arguments: argparse.Namespace
) -> int:
    """Medians; no ratio on a red gate."""
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        f"{arguments.videos} sequences of {arguments.steps} steps, width {arguments.width}, "
        f"{size / 1e6:.0f} MB on disk, {os.cpu_count()} cores"
    )
    print(f"largest relative difference of a logit vector: {error:.1e} (gate {GATE})")
    for name, value in median.items():
        print(f"{name:10}{value:8.2f} s{arguments.videos / value:10.1f} sequences/s")
    if error <= GATE:
        print(f"read / model     {median['read'] / median['model']:.3f}")
        parts = median["read"] + median["model"]
        print(f"classify / (read + model)  {median['classify'] / parts:.3f}")
    if arguments.json:
        content = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "shape": [arguments.videos, arguments.steps, arguments.width],
            "bytes": size,
            "error": error,
            "seconds": seconds,
        }
        Path(arguments.json).write_text(json.dumps(content, indent=1) + "\n")
    return 0 if error <= GATE else 1


if __name__ == "__main__":
    sys.exit(main())
