"""Decode pools: how they scale, and what they cost where there are none.

    python benchmarks/pools.py scale [--pools 1 2 4 8]
    python benchmarks/pools.py laptop FOLDER --against CHECKOUT [--rounds 3]

`scale` starts Ray nodes of two declared cores each on this machine, and decodes with a decoder that
sleeps (benchmarks/sleeping.py), so that cores are simulated and the path of the clips is real. One
node declares a GPU and holds the encoder with one decoder child. Printed are clips/s between 20 %
and 90 % of all clips, and their share of what one pool's rate, in proportion to all children,
promises.

`laptop` runs the same extraction by this tree and by another checkout in turn, without a cluster,
and prints clips/s (start-up apart), the largest memory of the whole process tree, and both ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
CLIP = REPOSITORY / "tests" / "clips" / "cfr25_bframes.mp4"
CLIPS = 6  # of that video
CORES = 2  # of a pool
VIDEOS = 4  # a child
SECONDS = 1.0  # in which a child decodes a clip: as in benchmarks/sleeping.py
TINY = [
    *("--model", "videomamba", "--model-option", "embed_dim=16", "--model-option", "depth=1"),
    *("--weights", "random", "--size", "32", "--num-frames", "4", "--clip-seconds", "1"),
]

# Prints seconds and encoded clips as they grow.
WATCHED = """
import json, sys, time
from vfeat.engine.watch import Watch
from vfeat.extract.run import run_job
from vfeat.job.spec import parse_extract

class Clock(Watch):
    def advanced(self, totals, workers):
        print(json.dumps([time.monotonic(), totals.clips]), flush=True)

summary = run_job(parse_extract(json.loads(sys.argv[1])), Clock())
print(json.dumps({"rows": summary.totals.rows, "fed": summary.fed_clips}))
"""


def environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree)}


def fed_rate(address: str, pools: int) -> tuple[float, float]:
    """Run once; return clips/s in the middle of the run, and the share of clips from pools."""
    children = pools * CORES + 1
    with tempfile.TemporaryDirectory(prefix="vfeat-pools-") as folder:
        videos = Path(folder, "videos")
        videos.mkdir()
        for number in range(children * VIDEOS):
            shutil.copy(CLIP, videos / f"{number:04d}.mp4")
        job = {
            "sources": [str(videos)], "out": f"{folder}/out", "model": "videomamba",
            "model_options": {"embed_dim": 16, "depth": 1}, "weights": "random", "size": 32,
            "num_frames": 4, "clip_seconds": 1.0, "address": address,
            "decoder": "benchmarks.sleeping:sleeping",
        }  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-c", WATCHED, json.dumps(job)], capture_output=True, text=True,
            env=environment(REPOSITORY), check=False,
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    *points, end = map(json.loads, ended.stdout.splitlines())
    clips = children * VIDEOS * CLIPS
    assert end["rows"] == clips, end
    middle = [(at, n) for at, n in points if 0.2 * clips <= n <= 0.9 * clips]
    (began, first), (ended_at, last) = middle[0], middle[-1]
    return (last - first) / (ended_at - began), end["fed"] / clips


def scale(counts: list[int]) -> None:
    import ray._private.utils
    from ray.cluster_utils import Cluster

    # Otherwise every `ray.init()` of this machine would find this cluster.
    ray._private.utils.write_ray_address = lambda *_: None
    os.environ["PYTHONPATH"] = str(REPOSITORY)
    folder = tempfile.mkdtemp(prefix="vf", dir="/tmp")
    head = {"num_cpus": 1, "num_gpus": 1, "include_dashboard": False, "temp_dir": folder}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    base = None
    try:
        for pools in sorted(counts):
            while len(cluster.worker_nodes) < pools:
                cluster.add_node(num_cpus=CORES)
            rate, fed = fed_rate(cluster.address, pools)
            children = pools * CORES + 1
            base = base or rate / children
            print(
                f"{pools} pools, {children} children: {rate:.2f} clips/s, "
                f"{rate / base / children:.2f} of linear, {children / SECONDS:.2f} at most; "
                f"{fed:.0%} of the clips from pools; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def alone(tree: Path, folder: Path) -> tuple[float, float]:
    """Run an extraction by a checkout; return clips/s and MB of the whole process tree."""
    with tempfile.TemporaryDirectory(prefix="vfeat-pools-") as out:
        words = [sys.executable, "-m", "vfeat", "extract", str(folder), "--out", f"{out}/o"]
        process = subprocess.Popen(
            [*words, *TINY, "--device", "cpu"], env=environment(tree), cwd=tree,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        most = 0.0
        while process.poll() is None:
            most = max(most, _memory_mb(process.pid))
            time.sleep(0.5)
        assert process.returncode == 0, process.stderr.read() if process.stderr else ""
        [run] = [p for p in Path(out, "o", "runs").glob("*.json") if "active" not in p.name]
        found = json.loads(run.read_text())
    return found["totals"]["rows"] / (found["encode_s"] + found["wait_s"]), most


def _memory_mb(pid: int) -> float:
    """Return the memory of a process and all below it, shared pages counted once."""
    total = 0
    try:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.Error:
        return 0.0
    return total / 1e6


def laptop(folder: Path, against: Path, rounds: int) -> None:
    figures: dict[Path, list[tuple[float, float]]] = {REPOSITORY: [], against: []}
    for turn in range(rounds):
        for tree in figures if turn % 2 == 0 else reversed(figures):
            figures[tree].append(alone(tree, folder))
            rate, memory = figures[tree][-1]
            print(f"{tree}: {rate:.2f} clips/s, {memory:.0f} MB", flush=True)
    medians = [
        [statistics.median(values) for values in zip(*found, strict=True)]
        for found in figures.values()
    ]
    ours, theirs = medians
    print(
        f"this tree to the other, medians of {rounds}: speed {ours[0] / theirs[0]:.3f}, "
        f"memory {ours[1] / theirs[1]:.3f}; load {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    sides = parser.add_subparsers(dest="side", required=True)
    one = sides.add_parser("scale")
    one.add_argument("--pools", type=int, nargs="+", default=[1, 2, 4, 8])
    two = sides.add_parser("laptop")
    two.add_argument("folder", type=Path)
    two.add_argument("--against", type=Path, required=True)
    two.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.side == "scale":
        scale(chosen.pools)
    else:
        laptop(chosen.folder.resolve(), chosen.against.resolve(), chosen.rounds)


if __name__ == "__main__":
    main()
