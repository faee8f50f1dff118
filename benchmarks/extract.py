"""What the engine costs: `vfeat extract` beside a bare loop of decoding and model.

    python benchmarks/extract.py FOLDER [--model videomamba_tiny] [--json FILE]

Three sides in one run over the same files and the same grid, each in fresh processes:

    bare     one process, PyAV and the model in turn, nothing written
    inline   vfeat with --executor inline: decoder child, batches, Parquet
    ray      vfeat as a user runs it

Before any ratio is printed, the embeddings of bare and vfeat must agree within 1e-3.
Memory is the largest resident size seen of the driver, an actor and a decoder child.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

GATE = 1e-3


@dataclass
class Side:
    """One side's figures: wall seconds (start-up apart), clips, peak memory in MB."""

    wall_s: float
    work_s: float
    clips: int
    memory_mb: dict[str, float] = field(default_factory=dict)


def bare(folder: str, model: str, result: str) -> None:
    """The loop a user would write with the same parts, in this process; batches like ours."""
    from vfeat.extract.encoder import Encoder
    from vfeat.extract.model_outline import outline
    from vfeat.extract.prepare import make_recipe
    from vfeat.job.spec import parse_extract

    job = parse_extract({"sources": [folder], "out": "-", "model": model, "weights": "random"})
    recipe = make_recipe(job, outline(job))
    encoder, size = Encoder(recipe, "cpu"), recipe.frame.size
    warm = np.zeros((1, 1, recipe.clip.num_frames, size, size, 3), np.uint8)
    encoder.encode(warm)
    began = time.perf_counter()
    keys: list[str] = []
    waiting: list[np.ndarray] = []
    vectors: list[list[float]] = []
    for path in sorted(Path(folder).iterdir()):
        for index, clip in enumerate(
            _clips(path, recipe.clip.num_frames, recipe.clip.clip_s, size)
        ):
            keys.append(f"{path.name}:{index}")
            waiting.append(clip)
            if len(waiting) == encoder.batch_size:
                vectors += [e.embedding.tolist() for e in encoder.encode(np.stack(waiting))]
                waiting = []
    if waiting:
        vectors += [e.embedding.tolist() for e in encoder.encode(np.stack(waiting))]
    seconds = time.perf_counter() - began
    content = {"seconds": seconds, "vectors": dict(zip(keys, vectors, strict=True))}
    Path(result).write_text(json.dumps(content))


def _clips(path: Path, frames: int, clip_s: float, size: int) -> Iterator[np.ndarray]:
    """[1, T, S, S, 3] of each clip, by presentation time, with PyAV and OpenCV alone."""
    import av
    import cv2

    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.thread_count = 1
        pictures = [(frame.time, frame) for frame in container.decode(stream)]
    start = pictures[0][0]
    times = np.array([seconds - start for seconds, _ in pictures])
    duration = times[-1] + (times[-1] - times[-2] if len(times) > 1 else 0.04)
    count = 1 + max(0, int((duration - clip_s / 2) / clip_s + 1e-9))
    for index in range(count):
        wanted = (index + (np.arange(frames) + 0.5) / frames) * clip_s
        chosen = np.searchsorted(times, wanted + 1e-9, side="right") - 1
        clip = []
        for number in chosen:
            frame = pictures[number][1]
            image = np.rot90(frame.to_ndarray(format="rgb24"), k=frame.rotation // 90)
            height, width = image.shape[:2]
            ratio = size / min(height, width)
            shape = (int(width * ratio), size) if width > height else (size, int(height * ratio))
            image = cv2.resize(np.ascontiguousarray(image), shape)
            top = round((image.shape[0] - size) / 2)
            left = round((image.shape[1] - size) / 2)
            clip.append(image[top : top + size, left : left + size])
        yield np.stack(clip)[None]


def run_bare(folder: str, model: str, scratch: Path) -> tuple[Side, dict[str, list[float]]]:
    """The bare loop in a fresh process."""
    result = scratch / "bare.json"
    command = [sys.executable, __file__, folder, "--model", model, "--bare-result", str(result)]
    wall_s, memory = _watch(command)
    found = json.loads(result.read_text())
    vectors = found["vectors"]
    return Side(wall_s, found["seconds"], len(vectors), memory), vectors


def run_vfeat(
    folder: str, model: str, executor: str, out: Path
) -> tuple[Side, dict[str, list[float]]]:
    """The command, as a user types it."""
    import vfeat

    command = [sys.executable, "-m", "vfeat", "extract", folder, "--out", str(out)]
    command += ["--model", model, "--weights", "random", "--executor", executor, "--device", "cpu"]
    wall_s, memory = _watch(command)
    rows = vfeat.open(str(out)).to_arrow().to_pylist()
    vectors = {f"{Path(r['uri']).name}:{r['clip_index']}": r["embedding"] for r in rows}
    run = json.loads(next((out / "runs").iterdir()).read_text())
    work_s = run["encode_s"] + run["wait_s"]
    return Side(wall_s, work_s, len(vectors), memory), vectors


def _watch(command: list[str]) -> tuple[float, dict[str, float]]:
    """Run to the end; peak resident MB of the driver, the largest actor and decoder child."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    peak: dict[str, float] = {}
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.2):
            try:
                everybody = [psutil.Process(process.pid)]
                everybody += everybody[0].children(recursive=True)
            except psutil.Error:
                return
            for one in everybody:
                try:
                    kind = _kind(one, process.pid)
                    rss = one.memory_info().rss / 1e6
                except psutil.Error:
                    continue
                if kind:
                    peak[kind] = max(peak.get(kind, 0.0), rss)

    thread = threading.Thread(target=sample)
    thread.start()
    _, errors = process.communicate()
    stop.set()
    thread.join()
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{errors}")
    return time.perf_counter() - began, {k: round(v) for k, v in sorted(peak.items())}


def _kind(process: psutil.Process, driver: int) -> str | None:
    line = " ".join(process.cmdline())
    if "vfeat.media.children.child_main" in line:
        return "child"
    if "ray::_Actor" in line:
        return "actor"
    return "driver" if process.pid == driver else None


def worst_error(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> float:
    """Largest relative difference over the clips; infinite when the clips differ."""
    if ours.keys() != theirs.keys():
        return float("inf")
    worst = 0.0
    for key, vector in ours.items():
        a, b = np.asarray(vector), np.asarray(theirs[key])
        worst = max(worst, float(np.linalg.norm(a - b) / np.linalg.norm(b)))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="videos that all decode")
    parser.add_argument("--model", default="videomamba_tiny")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", help="write the figures here")
    parser.add_argument("--bare-result", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.folder)
    if arguments.bare_result:
        bare(folder, arguments.model, arguments.bare_result)
        return 0
    sides: dict[str, list[Side]] = {"bare": [], "inline": [], "ray": []}
    error = 0.0
    for _ in range(arguments.repeat):  # in turn, so that a drifting machine hits all alike
        with tempfile.TemporaryDirectory() as scratch:
            side, reference = run_bare(folder, arguments.model, Path(scratch))
            sides["bare"].append(side)
            for executor in ("inline", "ray"):
                out = Path(scratch) / executor
                side, vectors = run_vfeat(folder, arguments.model, executor, out)
                sides[executor].append(side)
                error = max(error, worst_error(vectors, reference))
    return report(sides, error, folder, arguments)


def report(
    sides: dict[str, list[Side]], error: float, folder: str, arguments: argparse.Namespace
) -> int:
    """Medians and ratios; no ratio on a red gate."""
    median = {
        name: sorted(runs, key=lambda side: side.work_s)[len(runs) // 2]
        for name, runs in sides.items()
    }
    print(f"{len(os.listdir(folder))} videos, {arguments.model}, {os.cpu_count()} cores")
    print(f"largest relative difference of an embedding: {error:.1e} (gate {GATE})")
    print(f"{'':8}{'wall s':>9}{'work s':>9}{'clips/s':>9}{'/ bare':>8}   peak MB")
    for name, side in median.items():
        ratio = f"{side.work_s / median['bare'].work_s:8.2f}" if error <= GATE else "     red"
        rate = side.clips / side.work_s
        print(f"{name:8}{side.wall_s:9.1f}{side.work_s:9.1f}{rate:9.2f}{ratio}   {side.memory_mb}")
    print("wall: the whole command, with imports and Ray's start; work: decoding, model, waiting")
    if arguments.json:
        content = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "model": arguments.model,
            "error": error,
            "sides": {name: [asdict(side) for side in runs] for name, runs in sides.items()},
        }
        Path(arguments.json).write_text(json.dumps(content, indent=1) + "\n")
    return 0 if error <= GATE else 1


if __name__ == "__main__":
    sys.exit(main())
