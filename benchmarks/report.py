"""`vfeat report` of generated datasets: time, memory and size of the file by number of videos.

    python -m benchmarks.report --videos 1000 100000

The plans, rows, footers and the index are written by vfeat's own writers; the videos are hard links
to one clip of the tests, so that pictures are decoded. Each report runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import scale_inputs as inputs
from vfeat.extract.run import ExtractRun
from vfeat.outcome import Outcome, RangeError
from vfeat.plan.unit import Lease, Unit
from vfeat.report.write import write_report
from vfeat.tables import layout
from vfeat.tables.features import ClipRow, features_table, write_features
from vfeat.tables.kind import FEATURES
from vfeat.tables.plans import leases, plan_list, read_plan
from vfeat.tables.publish import publish_file
from vfeat.tables.snapshot import cannot_tell, publish_snapshot
from vfeat.video_facts import Probe, Timeline

CLIP = Path(__file__).parents[1] / "tests" / "clips" / "cfr25_bframes.mp4"
CLIPS = 3  # rows of a video; one more is empty, or has failed
LABELS = 40
MOST_LINKS = 50_000  # of one file, as file systems allow


def make_dataset(folder: Path, videos: int) -> Path:
    """Write a dataset in which every hundredth video has a failed clip; return its root."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_list(folder, videos)
    out = folder / "out"
    run = inputs.job_of(str(folder / "list.parquet"), str(out), shard_minutes=20.0)
    inputs.plan_all(run)
    order = np.random.default_rng(7)
    for plan in plan_list(run.root):
        for lease in leases(plan, read_plan(run.root, plan), set()):
            _commit(run, lease, order)
    publish_snapshot(run.root, cannot_tell)
    _write_run(out, videos)
    return out


def _write_list(folder: Path, videos: int) -> None:
    parts = []
    for start in range(0, videos, MOST_LINKS):
        part = folder / f"videos-{start}"
        count = min(MOST_LINKS, videos - start)
        inputs.write_local_list(folder / "part.parquet", CLIP, part, count)
        parts.append(pq.read_table(folder / "part.parquet"))
    (folder / "part.parquet").unlink()
    pq.write_table(pa.concat_tables(parts), folder / "list.parquet")


def _commit(run: ExtractRun, lease: Lease, order: np.random.Generator) -> None:
    shape, rows, outcomes = run.model.shape, [], []
    for number, unit in enumerate(lease.to_do(Unit)):
        for clip in range(CLIPS):
            label = int(order.integers(LABELS))
            vector = order.normal(size=shape.dim) + np.eye(shape.dim)[label % shape.dim] * 4
            score = float(order.uniform(0.2, 1.0))
            rows.append(
                ClipRow(unit.video_id, unit.uri, clip, float(clip), clip + 1.0,
                        vector.astype(np.float32), ((f"label {label}", score), ("other", 0.1)))
            )  # fmt: skip
        outcomes.append(_outcome(unit, failed=number % inputs.FAILED_EVERY == 0))
    table = features_table(rows, shape, run.recipe, lease.shard)
    assert publish_file(
        run.root, FEATURES.key(lease.shard),
        lambda path: write_features(path, table, outcomes, run.recipe, shape),
    )  # fmt: skip


def _outcome(unit: Unit, failed: bool) -> Outcome:
    count = CLIPS + 1
    timeline = Timeline(1, 1000, 0, count * 1000, count)
    probe = Probe("mp4", "h264", 32, 32, 0, timeline, count, 0, 1.0, True)
    errors = (RangeError(CLIPS, CLIPS, "undecodable", "no frame", 2),) if failed else ()
    empty = () if failed else ((CLIPS, CLIPS),)
    return Outcome(unit.video_id, unit.uri, 0, CLIPS, CLIPS, empty, errors, probe=probe)


def _write_run(out: Path, videos: int) -> None:
    """Write the summary and the log of a long run with many nodes."""
    name, nodes = "20260101T000000-0a0a0a", 200
    totals = {"noun": "clips", "rows": CLIPS * videos, "failed_units": videos // 100}
    node = {
        "versions": {"python": "3.11", "torch": "2.13.0"}, "kernel": "triton", "cores": 16,
        "memory_bytes": 1 << 37, "gpus": ["H100"],
    }  # fmt: skip
    summary = {
        "run": name, "started": "2026-01-01T00:00:00+00:00", "wall_s": 36000.0, "exit_code": 3,
        "interrupted": False, "totals": totals, "executor": "ray", "environment": {"vfeat": "0"},
        "encode_s": 1e6, "wait_s": 9e5, "decode_s": 4e6, "write_s": 2e4, "fed_wait_s": 0.0,
        "nodes": [{**node, "host": f"node-{number}"} for number in range(nodes)],
    }  # fmt: skip
    lines = [{"time": "2026-01-01T00:00:01+00:00", "event": "work", "shards": 1}]
    for step in range(1, 600):
        minute = f"2026-01-01T{step // 60:02d}:{step % 60:02d}:01+00:00"
        rows = CLIPS * videos * step // 600
        lines.append({"time": minute, "event": "progress", "rows": rows, "failed": 0})
    for folder in (layout.RUNS, layout.LOGS):
        (out / folder).mkdir(exist_ok=True)
    (out / layout.RUNS / f"{name}.json").write_text(json.dumps(summary))
    (out / layout.LOGS / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))


def measure(out: Path, page: Path) -> dict[str, float]:
    """Write a report in this process; return seconds, peak memory and size of the file."""
    before = time.monotonic()
    written = write_report(str(out), str(page))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "videos": written.videos, "rows_read": written.rows_read, "pictures": written.pictures,
        "seconds": round(time.monotonic() - before, 1), "peak_MB": round(peak / 1e3),
        "file_MB": round(written.size_bytes / 1e6, 2),
    }  # fmt: skip


def main() -> None:
    """Make the datasets, and print a line for each report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--root", type=Path, help="a dataset that is there already")
    arguments = parser.parse_args()
    if arguments.root:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(arguments.root, Path(folder) / "report.html")))
        return
    for videos in arguments.videos:
        with tempfile.TemporaryDirectory() as folder:
            out = make_dataset(Path(folder), videos)
            command = [sys.executable, "-m", "benchmarks.report", "--root", str(out)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
