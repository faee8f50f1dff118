"""What the engine costs when files are bad, when there are many, and when workers are many.

    python -m benchmarks.engine all [--json FILE]
    python -m benchmarks.engine poison      1 video in 20 crashes its decoder, beside none
    python -m benchmarks.engine memory      2,000 videos: growth of driver, actor and decoder child
    python -m benchmarks.engine feed        1,000 workers that do nothing, fed by one driver

`poison` prints how much longer the run with bad files takes, and how many seconds their attempts
take alone (one good file with ten bad ones, beside one good file, in one process): the first may
exceed the second by little.
`memory` prints the slope of a line through the second half of the samples of each process.
`feed` runs the driver's own loop (ledger, executor) against workers that answer at once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

REPOSITORY = Path(__file__).parents[1]
CLIP = REPOSITORY / "tests" / "clips" / "cfr25_bframes.mp4"
TINY = [
    *("--model", "videomamba", "--model-option", "embed_dim=16", "--model-option", "depth=1"),
    *("--weights", "random", "--size", "32", "--num-frames", "4", "--clip-seconds", "1"),
    *("--device", "cpu"),
]


def _corpus(folder: Path, videos: int, bad_every: int = 0) -> Path:
    folder.mkdir()
    for number in range(videos):
        bad = bad_every and number % bad_every == 0
        shutil.copy(CLIP, folder / f"{'crash' if bad else 'good'}{number:05}.mp4")
    return folder


def _extract(corpus: Path, out: Path, *flags: str) -> tuple[float, dict[str, Any]]:
    """Run the command; return its seconds and its result."""
    command = [sys.executable, "-m", "vfeat", "extract", str(corpus), "--out", str(out)]
    began = time.perf_counter()
    ended = subprocess.run(
        [*command, *TINY, *flags, "--json"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    if ended.returncode not in (0, 3):
        raise SystemExit(ended.stderr)
    return time.perf_counter() - began, json.loads(ended.stdout)


def poison(scratch: Path, videos: int = 200) -> dict[str, Any]:
    """Compare a corpus of good videos with one in which 1 in 20 crashes the decoder each time."""
    flags = ("--decoder", "tests.engine.faults:faulty")
    good_s, good = _extract(_corpus(scratch / "good", videos), scratch / "good-out", *flags)
    bad_s, bad = _extract(_corpus(scratch / "bad", videos, 20), scratch / "bad-out", *flags)
    crashed = bad["errors"].get("crashed", 0)
    none = _corpus(scratch / "none", 1)
    none_s, _ = _extract(none, scratch / "none-out", *flags, "--executor", "inline")
    ten = _corpus(scratch / "ten", 1)
    for number in range(10):
        shutil.copy(CLIP, ten / f"crash{number}.mp4")
    ten_s, _ = _extract(ten, scratch / "ten-out", *flags, "--executor", "inline")
    return {
        "videos": videos,
        "crashed": crashed,
        "good_s": round(good_s, 1),
        "bad_s": round(bad_s, 1),
        "longer_s": round(bad_s - good_s, 1),
        "attempts_s": round(crashed * (ten_s - none_s) / 10, 1),
        "rows": [good["totals"]["rows"], bad["totals"]["rows"]],
    }


def memory(scratch: Path, videos: int = 2000) -> dict[str, Any]:
    """Sample the resident size of every process while many small videos go through."""
    corpus, out = _corpus(scratch / "many", videos), scratch / "many-out"
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    command = [sys.executable, "-m", "vfeat", "extract", str(corpus), "--out", str(out), *TINY]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        for kind, rss in _sizes(process.pid).items():
            samples[kind].append((time.perf_counter() - began, rss))
        time.sleep(0.5)
    seconds = time.perf_counter() - began
    figures: dict[str, Any] = {"videos": videos, "seconds": round(seconds, 1)}
    for kind, points in samples.items():
        times, sizes = np.array(points[len(points) // 2 :]).T
        slope = np.polyfit(times, sizes, 1)[0] * seconds / videos * 1000 if len(times) > 2 else 0.0
        figures[kind] = {"largest_mb": round(max(p[1] for p in points)),
                         "slope_mb_per_1000_videos": round(float(slope), 2)}  # fmt: skip
    return figures


def _sizes(pid: int) -> dict[str, float]:
    """Return the resident MB of the driver, and the largest of actors and children."""
    found: dict[str, float] = {}
    try:
        everybody = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return found
    for process in everybody:
        try:
            line, rss = " ".join(process.cmdline()), process.memory_info().rss / 1e6
        except psutil.Error:
            continue
        child, actor = "children.child_main" in line, "ray::_Actor" in line
        kind = "child" if child else "actor" if actor else "driver" if process.pid == pid else ""
        if kind:
            found[kind] = max(found.get(kind, 0.0), rss)
    return found


class NullMachines:
    """A cluster of workers that have finished a lease as soon as they get it."""

    logs = "nowhere"

    def __init__(self, workers: int) -> None:
        from vfeat.engine.machines import Node
        from vfeat.engine.preflight import look_around

        self._facts = look_around(None)
        self._nodes = {str(n): Node(str(n), f"10.0.0.{n}", 1, 0) for n in range(workers)}
        self._results: dict[int, Any] = {}
        self._done: deque[int] = deque()
        self._calls = 0

    def connect(self) -> None: ...

    def nodes(self) -> Mapping[str, Any]:
        return self._nodes

    def _call(self, result: Any) -> int:
        self._calls += 1
        self._results[self._calls] = result
        return self._calls

    def start(self, node: str, setup: Any) -> tuple[str, int]:
        return node, self._call(self._facts)

    def run(self, worker: str, lease: Any) -> int:
        from vfeat.engine.worker_protocol import ShardReport

        return self._call(ShardReport(lease.shard, (), True, 0.0))

    def progress(self, worker: str) -> int:
        from vfeat.engine.worker_protocol import Progress

        return self._call(Progress(pid=0))

    def wait(self, calls: Collection[int], timeout_s: float) -> list[int]:
        return [next(iter(calls))]  # one at a time, as `ray.wait` gives them

    def result(self, call: int) -> Any:
        return self._results.pop(call)

    def kill(self, worker: str) -> None: ...

    def free_resources(self) -> str:
        return "everything"

    def now_s(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self, *, keep_logs: bool) -> None: ...


def feed(scratch: Path, workers: int = 1000, leases: int = 20_000) -> dict[str, Any]:
    """Feed workers that do nothing; the rate is the driver's own limit."""
    from vfeat.engine.cluster_executor import ClusterExecutor, ClusterSettings
    from vfeat.engine.executor import Finished
    from vfeat.engine.lease_ledger import Ledger
    from vfeat.engine.lease_queue import LeaseQueue
    from vfeat.engine.worker_places import Wanted
    from vfeat.plan.unit import Lease
    from vfeat.storage.root import Root

    queue = LeaseQueue()
    queue.add(iter([Lease(f"p00001-{n:05}", ()) for n in range(leases)]))
    queue.end()
    settings = ClusterSettings(Wanted(device="cpu"))
    executor = ClusterExecutor(NullMachines(workers), settings, is_local=False)
    began, cpu = time.perf_counter(), time.process_time()
    events = executor.run(None, Ledger(queue), Root("memory://feed"))  # type: ignore[arg-type]
    done = sum(isinstance(event, Finished) for event in events)
    seconds = time.perf_counter() - began
    assert done == leases
    return {
        "workers": workers,
        "leases": done,
        "leases_per_s": round(done / seconds),
        "ms_of_cpu_a_lease": round((time.process_time() - cpu) / done * 1000, 3),
    }


MEASURES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "poison": poison,
    "memory": memory,
    "feed": feed,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["all", *MEASURES])
    parser.add_argument("--json", help="write the figures here")
    arguments = parser.parse_args()
    wanted = list(MEASURES) if arguments.what == "all" else [arguments.what]
    found: dict[str, Any] = {}
    for name in wanted:
        with tempfile.TemporaryDirectory() as scratch:
            found[name] = MEASURES[name](Path(scratch))
        print(f"{name}: {json.dumps(found[name])}", flush=True)
    if arguments.json:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        head = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine}
        Path(arguments.json).write_text(json.dumps({**head, **found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
