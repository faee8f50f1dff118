"""`vfeat browse` at a million clips: from the request of a query to its answer and first picture.

    python -m benchmarks.browse [--rows 1000000] [--width 576] [--json FILE]

The rows are generated and written by vfeat's own writers; their videos are hard links to one clip
of the demo, whose pictures are really decoded. The server and the requests share this machine, over
loopback, as in use. `first` is right after the start; `warm` is the median of later requests, each
for another clip, label or second. A dropped clip is encoded by a network of one block: its time is
not that of a real model, the time of its results is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow.parquet as pq

from benchmarks import scale_inputs as inputs
from tests.browse.served import Served, serving
from vfeat.outcome import Outcome
from vfeat.plan.unit import Unit
from vfeat.tables.features import ClipRow, features_table, write_features
from vfeat.tables.kind import FEATURES
from vfeat.tables.plans import leases, plan_list, read_plan
from vfeat.tables.publish import publish_file
from vfeat.tables.snapshot import cannot_tell, publish_snapshot
from vfeat.video_facts import Probe, Timeline

CLIP = Path(__file__).parents[1] / "jobs" / "demo_clips" / "passer_by.mp4"
CLIPS = 500  # of a video, lying close together within the seconds of the demo's clip
STEP_S = 0.01
LABELS = 40
WARM = 7
KINDS = (
    "condition", "label", "like", "like_within_condition", "dropped_clip_results", "least_sure",
    "videos_by_name",
)  # fmt: skip


def make_dataset(folder: Path, rows: int, width: int) -> Path:
    """Write a dataset of generated rows; return its root."""
    inputs.write_local_list(folder / "list.parquet", CLIP, folder / "videos", -(-rows // CLIPS))
    out = folder / "out"
    run = inputs.job_of(
        str(folder / "list.parquet"), str(out), shard_minutes=0.7, dtype="bfloat16",
        model_options={"embed_dim": width, "depth": 1},
    )  # fmt: skip
    inputs.plan_all(run)
    draw = np.random.default_rng(7)
    centres = draw.normal(size=(LABELS, width)).astype(np.float32)
    shape = run.model.shape
    for plan in plan_list(run.root):
        for lease in leases(plan, read_plan(run.root, plan), set()):
            units = list(lease.to_do(Unit))
            table_rows = [row for unit in units for row in _rows(unit, centres, draw)]
            table = features_table(table_rows, shape, run.recipe, lease.shard)
            outcomes = [_outcome(unit) for unit in units]

            def write(path: str, table: Any = table, outcomes: Any = outcomes) -> None:
                write_features(path, table, outcomes, run.recipe, shape)

            assert publish_file(run.root, FEATURES.key(lease.shard), write)
    publish_snapshot(run.root, cannot_tell)
    return out


def _rows(unit: Unit, centres: np.ndarray, draw: np.random.Generator) -> list[ClipRow]:
    labels = draw.integers(LABELS, size=CLIPS)
    vectors = centres[labels] + draw.standard_normal((CLIPS, centres.shape[1]), np.float32)
    scores = draw.uniform(0.2, 1.0, CLIPS)
    return [
        ClipRow(
            unit.video_id, unit.uri, n, STEP_S * n, STEP_S * n + STEP_S, vectors[n],
            ((f"label {labels[n]}", float(scores[n])), ("other", 0.1)),
        )
        for n in range(CLIPS)
    ]  # fmt: skip


def _outcome(unit: Unit) -> Outcome:
    timeline = Timeline(1, 1000, 0, round(CLIPS * STEP_S * 1000), CLIPS)
    probe = Probe("mp4", "h264", 32, 32, 0, timeline, CLIPS, 0, CLIPS * STEP_S, True)
    return Outcome(unit.video_id, unit.uri, 0, CLIPS - 1, CLIPS, (), (), probe=probe)


def timed(served: Served, path: str) -> tuple[float, float]:
    """Return seconds to the answer, and to the picture of its first clip."""
    began_s = time.perf_counter()
    found = served.json(path)
    answered_s = time.perf_counter() - began_s
    first = (found.get("hits") or found.get("videos"))[0]
    at_s = (first.get("start_s", 0.0) + first.get("end_s", 1.0)) / 2
    assert served.ask(f"thumbnail/{first['video']}?t={at_s}").body.startswith(b"\xff\xd8")
    return answered_s, time.perf_counter() - began_s


def kinds(served: Served, query: str) -> dict[str, Callable[[int], str]]:
    """Return the requests of each kind, by number."""
    videos = [v["video"] for v in served.json("api/videos?first=100")["videos"]]

    def condition(n: int) -> str:
        return "api/clips?where=" + quote(f"label = 'label {n}' and start_s > {1 + n / 10}")

    def inside(n: int) -> str:
        where = quote(f"start_s > {n / 10}")
        return f"api/search?like={videos[n]}&t={0.1 * n + 0.005}&where={where}"

    return {
        "condition": condition,
        "label": lambda n: f"api/clips?label=label+{n}",
        "like": lambda n: f"api/search?like={videos[n]}&t={0.3 * n + 0.005}",
        "like_within_condition": inside,
        "dropped_clip_results": lambda n: f"api/search?query={query}&k={20 + n}",
        "least_sure": lambda n: f"api/clips?order=unsure&label=label+{n}",
        "videos_by_name": lambda n: f"api/videos?name={n}",
    }


def measure(out: Path) -> dict[str, Any]:
    """Measure one dataset; each kind's first request meets a server that has just started."""
    result: dict[str, Any] = {}
    for name in KINDS:
        with serving(str(out), keep_bytes=4_000_000_000) as served:
            query = served.ask("api/query?name=q.mp4", "POST", body=CLIP.read_bytes())
            path = kinds(served, query.json["query"])[name]
            first = timed(served, path(1))
            later = [timed(served, path(n)) for n in range(2, 2 + WARM)]
        result[name] = {
            "first": {"answer_s": round(first[0], 3), "picture_s": round(first[1], 3)},
            "warm": {
                "answer_s": round(statistics.median(answer for answer, _ in later), 3),
                "picture_s": round(statistics.median(picture for _, picture in later), 3),
            },
        }
        print(name, json.dumps(result[name]), flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--root", type=Path, help="a folder for the dataset, or one that has it")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vfeat-bench-") as temporary:
        folder = options.root or Path(temporary)
        if not (out := folder / "out").exists():
            folder.mkdir(parents=True, exist_ok=True)
            out = make_dataset(folder, options.rows, options.width)
        files = sorted((out / "features").glob("*.parquet"))
        result = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "rows": sum(pq.read_metadata(file).num_rows for file in files), "files": len(files),
            "load_average_before": os.getloadavg()[0], "kinds": measure(out),
            "load_average_after": os.getloadavg()[0],
        }  # fmt: skip
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
