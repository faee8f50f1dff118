"""Heads and classify runs that are small enough for a test."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

import vfeat
from vfeat.classify.run import ClassifyRun
from vfeat.engine.summary import RunSummary
from vfeat.engine.watch import Watch
from vfeat.job.spec import ClassifyJob, parse_job
from vfeat.models import create_model, save_model
from vfeat.sequences.head import HEAD_FILE, Head
from vfeat.sequences.reader import SequenceReader
from vfeat.storage.root import Root

CLASSES = ("fast", "slow", "still")


def make_head(folder: Path, features: Path | str, task: str = "pace", **fields: Any) -> Path:
    """A head with seeded weights, as `vfeat train head` leaves it."""
    torch.manual_seed(len(task))
    dataset = vfeat.open(str(features))
    width = SequenceReader(dataset).width()
    shape = {"d_input": width, "l_max": 32, "d_output": len(CLASSES), "d_model": 16, "n_layers": 2}
    save_model(create_model("vis4mer", weights="random", **shape), str(folder))
    head = Head(str(folder), task, "classification", CLASSES, dataset.recipe, width, **fields)
    (folder / HEAD_FILE).write_text(json.dumps(head.to_json()))
    return folder


def classify_run(features: Path | str, out: Path | str, *heads: Path, **fields: Any) -> ClassifyRun:
    """A run in this process, not begun."""
    job = parse_job(
        {
            "kind": "classify", "features": str(features), "out": str(out),
            "heads": [str(h) for h in heads], "executor": "inline", "device": "cpu", **fields,
        }
    )  # fmt: skip
    assert isinstance(job, ClassifyJob)
    return ClassifyRun(job, Watch())


def classify(features: Path | str, out: Path | str, *heads: Path, **fields: Any) -> RunSummary:
    """`vfeat classify` in this process."""
    run = classify_run(features, out, *heads, **fields)
    try:
        return run.run()
    finally:
        run.close()


def rows(out: Path | str) -> list[dict[str, Any]]:
    """Every row of every predictions file, read without vfeat's own reader."""
    root = Root(str(out))
    tables = [
        pq.read_table(io.BytesIO(root.read_bytes(f"predictions/{name}")))
        for name in root.list("predictions")
    ]
    return pa.concat_tables(tables).to_pylist() if tables else []


def by_name(out: Path | str) -> dict[tuple[str, int], dict[str, Any]]:
    """Rows by file name and place; fails on a key that stands there twice."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows(out):
        key = (row["uri"].rpartition("/")[2], row["prediction_index"])
        assert key not in found, f"two rows of {key}"
        found[key] = row
    return found
