"""What planning and bookkeeping cost for millions of videos, on generated inputs.

    python -m benchmarks.scale all [--videos 10000000] [--old CHECKOUT] [--json FILE]
    python -m benchmarks.scale nothing --videos 200000

Each measure runs in a fresh process and prints its wall and CPU seconds, its peak memory, and what
it counted, beside the target. Inputs stay in --scratch, and are made once for each size.

    plan      a Parquet list with sizes and etags: listed, planned, published
    store     the same from a store of paged listings on loopback (--store-videos)
    nothing   a run over a dataset in which everything is done; over the store, its requests
    night     the snapshot after 1,000 videos changed
    status    `vfeat status`
    retry     --retry-errors over a failed range in every hundredth video
    resume    a killed run with half of its shards committed: until the first lease is handed out
    verify    `vfeat verify` of real files, at two sizes
    dry-run   --dry-run of a list, of which only the sample is there
    reads     requests and bytes for one video of 20 MB in a real S3 server
    old       plan, nothing, night, status, verify, dry-run beside another checkout (--old), small
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHANGED = 1000
LIMITS: dict[str, dict[str, float]] = {
    "plan": {"wall_s": 600, "peak_mb": 1000, "first_lease_s": 60},
    "nothing": {"wall_s": 60, "peak_mb": 1000},
    "night": {"wall_s": 10},
    "status": {"wall_s": 5},
    "retry": {"retry_s": 300},
    "resume": {"first_lease_s": 30},
    "verify": {"peak_mb": 1000},
    "dry-run": {"peak_mb": 1000},
}  # fmt: skip
Figures = dict[str, Any]


class Bench:
    """The measures of one invocation, and what they found.

    Attributes:
        found: figures by the name of the measure.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.found: dict[str, Figures] = {}
        self._scratch: Path = arguments.scratch

    def measure(
        self, name: str, *parts: str, label: str | None = None, old: Path | None = None,
        **environment: str,
    ) -> Figures:  # fmt: skip
        """Run one measure in a fresh process and print its line."""
        module = "scale_old" if old else "scale_measures"
        script = ROOT / "benchmarks" / f"{module}.py"
        path = str(old) if old else str(ROOT)
        result = subprocess.run(
            [sys.executable, str(script), name, *parts], check=False, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, **environment}, text=True, cwd=path,
        )  # fmt: skip
        if result.returncode:
            raise SystemExit(f"{name} {' '.join(parts)} ended with {result.returncode}")
        figures: Figures = json.loads(result.stdout.splitlines()[-1])
        if label:
            self.found[label] = figures
            self.show(name, label, figures)
        return figures

    def show(self, name: str, label: str, figures: Figures) -> None:
        """Print figures; where one is over its limit, the limit too."""
        limits = LIMITS.get(name, {}) if self.arguments.videos >= 10_000_000 else {}
        words = []
        for key, value in figures.items():
            if isinstance(value, list):
                continue
            text = f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(
                value, int) else str(value)  # fmt: skip
            over = key in limits and value > limits[key]
            words.append(f"{key} {text}{f' (OVER {limits[key]:,})' if over else ''}")
        print(f"{label:28} {'  '.join(words)}", flush=True)

    def folder(self, name: str) -> Path:
        """Return a scratch folder."""
        path = self._scratch / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def place(self, videos: int) -> Path:
        """Return the folder of the inputs of a size, with its list."""
        place = self.folder(f"{videos}")
        if not (place / "list.parquet").exists():
            self.measure("make-list", str(place), str(videos))
        return place

    def whole(self, videos: int) -> Path:
        """Return such a folder, with a dataset in which everything is done."""
        place = self.place(videos)
        if not (place / "planned" / "done").exists():
            self.plan(videos)
        if not (place / "whole" / "done").exists():
            self.measure("make-whole", str(place), label=f"(first snapshot, {videos:,})")
        return place

    def plan(self, videos: int) -> None:
        self.measure("plan", str(self.place(videos)), label=f"plan {videos:,}")

    def nothing(self, videos: int) -> None:
        self.measure("nothing", str(self.whole(videos)), label=f"nothing {videos:,}")

    def night(self, videos: int) -> None:
        place = self.whole(videos)
        self.measure("make-night", str(place), str(CHANGED))
        self.measure("night", str(place), label=f"night {videos:,}")

    def status(self, videos: int) -> None:
        self.measure("status", str(self.whole(videos)), label=f"status {videos:,}")

    def retry(self, videos: int) -> None:
        self.measure("retry", str(self.whole(videos)), label=f"retry {videos:,}")

    def resume(self, videos: int) -> None:
        place = self.whole(videos)
        if not (place / "half" / "done").exists():
            self.measure("make-half", str(place))
        self.measure("resume", str(place), label=f"resume {videos:,}")

    def verify(self, videos: int) -> None:
        for size in (videos // 4, videos):
            place = self.place(size)
            if not (place / "real" / "done").exists():
                self.measure("make-real", str(place))
            self.measure("verify", str(place), label=f"verify {size:,}")

    def dry_run(self, videos: int) -> None:
        self.measure("dry-run", str(self.place(videos)), label=f"dry-run {videos:,}")

    def store(self, videos: int) -> None:
        """Measure plan, nothing and night over the store, with their requests."""
        folder = self.folder(f"store-{videos}")
        with store(folder, videos, self.arguments.latency) as (environment, counts):
            self.measure("store", str(folder), label=f"store {videos:,}", **environment)
            self.requests(f"store {videos:,}", counts())
            self.measure("make-store", str(folder))
            self.measure("store-nothing", str(folder), label=f"nothing, store {videos:,}",
                         **environment)  # fmt: skip
            self.requests(f"nothing, store {videos:,}", counts())
            small = self.whole(self.arguments.small)
            self.measure("make-night", str(small), str(CHANGED))
            bucket = folder / "out"
            subprocess.run(["cp", "-al", str(small / "night"), str(bucket / "night")], check=True)
            self.measure("night", str(small), "s3://out/night",
                         label=f"night, store {self.arguments.small:,}", **environment)  # fmt: skip
            self.requests(f"night, store {self.arguments.small:,}", counts())

    def requests(self, label: str, counts: dict[str, int]) -> None:
        """Add the requests of a measure."""
        kinds = dict(sorted(counts.items()))
        self.found[label]["requests"] = {"all": sum(kinds.values()), **kinds}
        print(f"{'':28} requests {sum(kinds.values()):,}: {kinds}", flush=True)

    def reads(self) -> None:
        """Measure what a video of 20 MB costs in requests and bytes."""
        from benchmarks.scale_reads import reads

        for label, figures in reads(self.folder("reads"), self.arguments.old):
            self.found[label] = figures
            self.show("reads", label, figures)

    def old(self) -> None:
        """Measure both sides over the same hard links to one small video."""
        if self.arguments.old is None:
            raise SystemExit("old: name another checkout with --old")
        place = self.folder("old")
        self.measure("make-local", str(place), str(self.arguments.old_videos))
        videos = f"{self.arguments.old_videos:,} local"
        for side, old in (("old", self.arguments.old), ("new", None)):
            part = str(place / side)
            for name in ("plan", "make-real", "nothing", "status", "verify", "retry", "make-night",
                         "night", "dry-run"):  # fmt: skip
                label = None if name.startswith("make") else f"{name} {videos}, {side}"
                self.measure(f"local-{name}", part, label=label, old=old)


@contextmanager
def store(folder: Path, objects: int, latency_s: float) -> Iterator[tuple[dict[str, str], Any]]:
    """Run the store; yields the environment that leads there, and a function for its counts."""
    (folder / "out").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks" / "s3_store.py"), "--objects", str(objects),
         "--folder", str(folder), "--latency", str(latency_s)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    address = f"http://127.0.0.1:{int(process.stdout.readline())}"

    def counts() -> dict[str, int]:
        with urllib.request.urlopen(f"{address}/-/counts") as answer:
            found: dict[str, int] = json.load(answer)
        return found

    try:
        yield {
            "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }, counts  # fmt: skip
    finally:
        process.kill()
        process.wait()


def hardware() -> Figures:
    """Return what the figures depend on."""
    model = ""
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if "model name" in line), "")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {model}, {os.cpu_count()} cores",
        "memory_gb": round(pages / 1e9),
        "python": platform.python_version(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = (
        "plan", "store", "nothing", "night", "status", "retry", "resume", "verify", "dry-run",
        "reads", "old", "all",
    )  # fmt: skip
    parser.add_argument("measures", nargs="+", choices=names)
    parser.add_argument("--videos", type=int, default=10_000_000)
    parser.add_argument("--store-videos", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=100_000, help="of a night over the store")
    parser.add_argument("--verify-videos", type=int, default=200_000)
    parser.add_argument("--old-videos", type=int, default=5000)
    parser.add_argument("--latency", type=float, default=0.0, help="of a store's page, seconds")
    parser.add_argument("--old", type=Path, help="another checkout, to measure beside this one")
    parser.add_argument("--scratch", type=Path, help="keeps the inputs; default: a temporary one")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    wanted = arguments.measures
    if "all" in wanted:
        wanted = [n for n in names if n != "all" and (n != "old" or arguments.old)]
    with tempfile.TemporaryDirectory(prefix="vfeat-scale-") as temporary:
        arguments.scratch = (arguments.scratch or Path(temporary)).resolve()
        bench = Bench(arguments)
        sizes = {"store": arguments.store_videos, "verify": arguments.verify_videos}
        for name in wanted:
            method = getattr(bench, name.replace("-", "_"))
            if name in ("reads", "old"):
                method()
            else:
                method(sizes.get(name, arguments.videos))
            if arguments.json:
                content = {**hardware(), "videos": arguments.videos, "figures": bench.found}
                arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
