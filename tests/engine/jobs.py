"""Jobs that are small enough for a test, and what a dataset must then hold."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from vfeat.job.spec import ExtractJob, parse_extract
from vfeat.storage.root import Root
from vfeat.tables.verify import VerifyReport, verify_dataset

TINY: dict[str, Any] = {
    "model": "videomamba",
    "model_options": {"embed_dim": 16, "depth": 1},
    "weights": "random",
    "size": 32,
    "num_frames": 4,
    "clip_seconds": 1.0,
    "executor": "inline",
    "device": "cpu",
}


def tiny_job(out: Path | str, *sources: Path | str, **fields: Any) -> ExtractJob:
    """A job with a model of a few thousand parameters, in this process."""
    return parse_extract({**TINY, "sources": [str(s) for s in sources], "out": str(out), **fields})


def slow_corpus(own_clips: Path, tmp_path: Path) -> Path:
    """Eight videos that take a second each to open with the faulty decoder."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i in range(8):
        shutil.copy(own_clips / "cfr25_bframes.mp4", folder / f"slow{i}.mp4")
    return folder


def verified(out: Path | str) -> VerifyReport:
    """The last word of `vfeat verify`; fails the test on any problem."""
    *_, report = verify_dataset(Root(str(out)))
    assert report.problems == []
    return report


def keys(out: Path) -> list[tuple[str, int]]:
    """(file name, clip) of every row of every features file, read without vfeat."""
    found = []
    for file in sorted((out / "features").glob("*.parquet")):
        rows = pq.read_table(file, columns=["uri", "clip_index"]).to_pylist()
        found += [(Path(row["uri"]).name, row["clip_index"]) for row in rows]
    return sorted(found)


def tree(out: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and mtime, to see that nothing was written."""
    return {
        str(p.relative_to(out)): (p.stat().st_size, p.stat().st_mtime_ns)
        for p in out.rglob("*")
        if p.is_file()
    }
