"""The measures of `benchmarks/scale.py old` for the code of commit add7d5c; figures as JSON.

It runs with that checkout as PYTHONPATH, so it imports nothing from this one.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from vfeat.engine.planning import plan_retries
from vfeat.engine.prepare import row_shape
from vfeat.engine.run import ExtractRun
from vfeat.stages.report import UnitResult
from vfeat.stages.shard import publish_shard
from vfeat.tables.outcome import Outcome, RangeError

from vfeat.engine.watch import Watch
from vfeat.job.spec import parse_extract
from vfeat.storage.root import Root
from vfeat.tables.plans import plan_list
from vfeat.tables.snapshot import cannot_tell, publish_snapshot
from vfeat.tables.status import dataset_status
from vfeat.tables.verify import verify_dataset

LOCAL_MINUTES = 0.06  # a hundred videos of one clip
FAILED_EVERY = 100

Figures = dict[str, Any]


@contextmanager
def measured(figures: Figures) -> Iterator[None]:
    """Take wall and CPU seconds of what runs within; the memory is that of the whole process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    wall_s, cpu_s = time.perf_counter(), usage.ru_utime + usage.ru_stime
    yield
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures["wall_s"] = time.perf_counter() - wall_s
    figures["cpu_s"] = usage.ru_utime + usage.ru_stime - cpu_s
    figures["peak_mb"] = usage.ru_maxrss / 1000


def local_run(side: str, out: str = "out") -> ExtractRun:
    folder = Path(side)
    job = parse_extract(
        {
            "model": "videomamba", "model_options": {"embed_dim": 16, "depth": 1},
            "weights": "random", "size": 32, "num_frames": 4, "clip_seconds": 1.0,
            "executor": "inline", "device": "cpu", "shard_minutes": LOCAL_MINUTES,
            "sources": [str(folder / "list.parquet")], "out": str(folder / out),
        }
    )  # fmt: skip
    return ExtractRun(job, Watch())


def local_plan(side: str) -> Figures:
    shutil.rmtree(Path(side) / "out", ignore_errors=True)
    run = local_run(side)
    figures: Figures = {}
    with measured(figures):
        run.plan()
        first = next(iter(run.pending()))
    shards = sum(1 for _ in run.pending())
    return {"first_lease_s": figures["wall_s"], **figures, "shards": shards, "lease": first.shard}


def _commit_all(run: ExtractRun, failed: bool) -> None:
    for lease in run.pending():
        results = []
        for number, unit in enumerate(lease.units):
            bad = failed and number % FAILED_EVERY == 0
            errors = (RangeError(unit.last_clip, unit.last_clip, "undecodable", "no frame", 2),)
            empty = ((0, unit.clips - 1 - bad),) if unit.clips > bad else ()
            outcome = Outcome(
                unit.video_id, unit.uri, 0, unit.last_clip, 0, empty, errors if bad else ()
            )
            results.append(UnitResult(outcome, []))
        publish_shard(run.root, lease.shard, results, run.recipe, row_shape(run.job))


def local_make_real(side: str) -> Figures:
    run = local_run(side)
    _commit_all(run, True)
    publish_snapshot(run.root, cannot_tell)
    return {}


def local_nothing(side: str) -> Figures:
    run = local_run(side)
    figures: Figures = {}
    with measured(figures):
        summary = run.run()
    assert summary.nothing_to_do
    return figures


def local_status(side: str) -> Figures:
    figures: Figures = {}
    with measured(figures):
        dataset_status(str(Path(side) / "out"))
    return figures


def local_verify(side: str) -> Figures:
    figures: Figures = {}
    with measured(figures):
        for report in verify_dataset(Root(str(Path(side) / "out"))):
            last = report
    assert not last.problems, last.problems[:3]
    return {**figures, "files": last.files}


def local_retry(side: str) -> Figures:
    target = Path(side) / "retry"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(Path(side) / "out", target)
    run = local_run(side, "retry")
    figures: Figures = {}
    with measured(figures):
        plans = plan_list(run.root)
        ranges = plan_retries(run._planner(plans), ("all",))
    return {"retry_s": figures["wall_s"], **figures, "ranges": ranges}


def local_make_night(side: str) -> Figures:
    folder = Path(side)
    listed = pq.read_table(folder / "list.parquet")
    changed = min(1000, len(listed) // 5)
    for uri in listed.column("uri").to_pylist()[:changed]:
        Path(uri).unlink()
        Path(uri).hardlink_to(folder / "links" / "changed")

    run = local_run(side)
    run.plan()
    _commit_all(run, False)
    return {}


def local_night(side: str) -> Figures:
    run = local_run(side)
    is_gone = run.plan()
    figures: Figures = {}
    with measured(figures):
        publish_snapshot(run.root, is_gone)
    return figures


def local_dry_run(side: str) -> Figures:
    run = local_run(side, "dry")
    figures: Figures = {}
    with measured(figures):
        found = run.preview()
    return {**figures, "videos": found.new_videos}


def main() -> None:
    name, *parts = sys.argv[1:]
    measure: Callable[..., Figures] = globals()[name.replace("-", "_")]
    print(json.dumps(measure(*parts)))


if __name__ == "__main__":
    main()
