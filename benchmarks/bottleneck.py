"""Runs that one resource limits: whether it is named, and what following the advice gives.

    python benchmarks/bottleneck.py [--videos 60]

Each run extracts copies of a video of six seconds with one decoder child: from a store that waits
before each answer, with a decoder that sleeps (benchmarks/sleeping.py), and with a larger model.
Where the run names a number of decoders, it is repeated with that number. Printed are the slowest
resource, the shares, the advice, and the clips a second of both runs while there was work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
CLIP = REPOSITORY / "tests" / "clips" / "cfr25_bframes.mp4"
LATENCY_S = 0.5
BUCKET = "videos"
TINY = [
    *("--model", "videomamba", "--model-option", "embed_dim=16", "--model-option", "depth=1"),
    *("--size", "32", "--num-frames", "4"),
]
LARGER = ["--model", "videomamba_tiny", "--num-frames", "8"]


@contextmanager
def store(folder: Path) -> Iterator[dict[str, str]]:
    """Serve a folder's folders as buckets, slowly; yield the environment that leads there."""
    script = REPOSITORY / "benchmarks" / "s3_store.py"
    command = [sys.executable, str(script), "--objects", "0", "--folder", str(folder)]
    command += ["--object-latency", str(LATENCY_S)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = f"http://127.0.0.1:{int(process.stdout.readline())}"
    try:
        yield {
            "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
    finally:
        process.kill()
        process.wait()


def extracted(source: str, flags: list[str], decoders: int, **extra: str) -> dict[str, Any]:
    """Run `vfeat extract` into a folder that is removed; return its summary."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable, "-m", "vfeat", "extract", source, "--out", f"{out}/out", *flags,
            "--weights", "random", "--clip-seconds", "1", "--executor", "inline", "--json",
            "--decode-workers", str(decoders),
        ]  # fmt: skip
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(REPOSITORY), **extra}, check=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measured(name: str, source: str, flags: list[str], **extra: str) -> dict[str, Any]:
    """Run once as it is, and once as the first run says."""
    run = extracted(source, flags, 1, **extra)
    limit = run["bottleneck"]
    found: dict[str, Any] = {
        "slow": name, "named": limit["resource"], "sentence": limit["sentence"],
        "advice": limit["advice"], "clips_per_s": rate(run),
    }  # fmt: skip
    if (wanted := re.search(r"--decode-workers (\d+)", limit["advice"])) is not None:
        again = extracted(source, flags, int(wanted[1]), **extra)
        found |= {
            "then_clips_per_s": rate(again), "gain": round(rate(again) / rate(run), 2),
            "then": again["bottleneck"]["sentence"],
        }  # fmt: skip
    return found


def rate(run: dict[str, Any]) -> float:
    """Return clips a second while there was work."""
    return round(run["totals"]["rows"] / run["run_s"], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=60)
    videos = parser.parse_args().videos
    runs = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / BUCKET
        folder.mkdir()
        for number in range(videos):
            shutil.copy(CLIP, folder / f"{number:03d}.mp4")
        slow = ["--decoder", "benchmarks.sleeping:sleeping"]
        with store(Path(place)) as environment:
            runs.append(measured("storage", f"s3://{BUCKET}", TINY, **environment))
        few = f"{folder}/00*.mp4"  # a second for each clip is enough of these
        runs.append(measured("decode", few, [*TINY, *slow]))
        runs.append(measured("model", few, LARGER))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    print(json.dumps({"date": day, "machine": machine, "videos": videos, "runs": runs}, indent=1))


if __name__ == "__main__":
    main()
