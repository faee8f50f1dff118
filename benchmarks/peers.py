"""vfeat beside the same job written in Ray Data and in Daft, turn by turn, and after a SIGKILL.

    pip install 'daft==0.7.26'        # ray[data] needs pandas, which the dev extra holds
    python -m benchmarks.peers FOLDER [--model videomamba_tiny] [--rounds 3] [--json FILE]

All sides read the same files, lay the same grid, decode with PyAV on one thread a process, run the
same model in the same batches on the CPU, and write Parquet. A side is one whole command in a fresh
process, start-up included. The order of the sides changes from round to round.

The second table is about reliability: each side is killed (SIGKILL of its whole process group)
when part of its work is done, and the same command is run again. What counts is what a reader
finds afterwards: rows that are missing, rows that are there twice.

Before any ratio is printed, all sides must have the same keys, and embeddings that agree
within 1e-3.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import pyarrow.dataset as pads

from benchmarks.extract import GATE, _clips, worst_error

SIDES = ("vfeat", "ray-data", "daft")
REPOSITORY = Path(__file__).parents[1]
KILL_AFTER = 0.5  # share of a side's usual time after which it is killed


@dataclass
class Turn:
    """One command of one side.

    Attributes:
        memory_mb: largest sum of the resident sizes of its processes.
    """

    wall_s: float
    memory_mb: float
    exit_code: int
    errors: str = ""


@dataclass
class Side:
    """Figures of one side."""

    turns: list[Turn] = field(default_factory=list)
    clips: int = 0
    after_kill: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Clips a second, median of the turns."""
        return self.clips / median(turn.wall_s for turn in self.turns)


def _recipe(folder: str, model: str) -> Any:
    from vfeat.extract.model_outline import outline
    from vfeat.extract.prepare import make_recipe
    from vfeat.job.spec import parse_extract

    job = parse_extract({"sources": [folder], "out": "-", "model": model, "weights": "random"})
    return make_recipe(job, outline(job))


def _decode(path: str, recipe: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield key and frames [1, T, S, S, 3] of each clip of a file."""
    clip, size = recipe.clip, recipe.frame.size
    frames = _clips(Path(path), clip.num_frames, clip.clip_s, size)
    for index, pictures in enumerate(frames):
        yield f"{Path(path).name}:{index}", pictures


def _paths(folder: str) -> list[str]:
    return [str(path) for path in sorted(Path(folder).iterdir())]


def ray_data(folder: str, model: str, out: str) -> None:
    """The pipeline of Ray's documentation: flat_map, an actor for the model, write_parquet."""
    import ray

    ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    recipe = _recipe(folder, model)

    class Encode:
        def __init__(self) -> None:
            from vfeat.extract.encoder import Encoder

            self.encoder = Encoder(recipe, "cpu")

        def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
            encoded = self.encoder.encode(np.stack(list(batch["frames"])))
            return {"key": batch["key"], "embedding": [e.embedding for e in encoded]}

    def clips(row: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"key": key, "frames": f} for key, f in _decode(row["path"], recipe)]

    videos = ray.data.from_items([{"path": path} for path in _paths(folder)])
    videos = videos.repartition(len(_paths(folder))).flat_map(clips, num_cpus=1)
    rows = videos.map_batches(Encode, batch_size=4, concurrency=1, num_cpus=1)
    rows.write_parquet(out)


def daft(folder: str, model: str, out: str) -> None:
    """The same in Daft's own words: a generator, a class with a batch method, write_parquet."""
    import daft as df
    from daft import DataType

    recipe = _recipe(folder, model)
    shape = {"key": DataType.string(), "frames": DataType.tensor(DataType.uint8())}

    @df.func(return_dtype=DataType.struct(shape))
    def clips(path: str) -> Iterator[dict[str, Any]]:
        for key, frames in _decode(path, recipe):
            yield {"key": key, "frames": frames}

    @df.cls(max_concurrency=1)
    class Encode:
        def __init__(self) -> None:
            from vfeat.extract.encoder import Encoder

            self.encoder = Encoder(recipe, "cpu")

        @df.method.batch(return_dtype=DataType.list(DataType.float32()), batch_size=4)
        def __call__(self, frames: Any) -> list[list[float]]:
            stacked = np.stack([np.asarray(clip) for clip in frames.to_pylist()])
            return [e.embedding.tolist() for e in self.encoder.encode(stacked)]

    videos = df.from_pydict({"path": _paths(folder)})
    made = videos.select(clips(videos["path"]).alias("clip"))
    rows = made.select(
        made["clip"]["key"].alias("key"), Encode()(made["clip"]["frames"]).alias("embedding")
    )
    rows.write_parquet(out)


PEERS: dict[str, Callable[[str, str, str], None]] = {"ray-data": ray_data, "daft": daft}


def command_of(side: str, folder: str, model: str, out: Path) -> list[str]:
    """Return the command of a side."""
    if side == "vfeat":
        flags = ["--model", model, "--weights", "random", "--device", "cpu"]
        return [sys.executable, "-m", "vfeat", "extract", folder, "--out", str(out), *flags]
    own = [sys.executable, "-m", "benchmarks.peers", folder, "--model", model]
    return [*own, "--side", side, "--out", str(out)]


def take_turn(command: list[str], kill_after_s: float | None = None) -> Turn:
    """Run a command to its end, or to its SIGKILL after some seconds."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(REPOSITORY), environment.get("PYTHONPATH", "")]
    )
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=environment, cwd=REPOSITORY, start_new_session=True,
    )  # fmt: skip
    peak = _Peak(process.pid)
    if kill_after_s is not None:
        killer = threading.Timer(kill_after_s, _kill_tree, [process.pid])
        killer.start()
    _, errors = process.communicate()
    if kill_after_s is not None:
        killer.cancel()
    return Turn(time.perf_counter() - began, peak.close(), process.returncode, errors[-2000:])


def _kill_tree(pid: int) -> None:
    """Kill a process and all that it has started, at once."""
    everybody = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in everybody:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue


class _Peak:
    """Largest sum of the resident sizes of a process and its descendants, in MB."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._largest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def close(self) -> float:
        self._stop.set()
        self._thread.join()
        return round(self._largest)

    def _sample(self) -> None:
        while not self._stop.wait(0.25):
            try:
                root = psutil.Process(self._pid)
                everybody = [root, *root.children(recursive=True)]
            except psutil.Error:
                return
            total = 0.0
            for process in everybody:
                try:
                    memory = process.memory_full_info()
                except psutil.Error:
                    continue
                total += memory.pss / 1e6  # shared pages once
            self._largest = max(self._largest, total)


def found_in(side: str, out: Path) -> tuple[Counter[str], dict[str, list[float]]]:
    """Return how often each clip is in a side's output, and its embedding."""
    folder = out / "features" if side == "vfeat" else out
    if not folder.exists():
        return Counter(), {}
    keys: Counter[str] = Counter()
    vectors: dict[str, list[float]] = {}
    for row in pads.dataset(folder, format="parquet").to_table().to_pylist():
        key = row["key"] if "key" in row else f"{Path(row['uri']).name}:{row['clip_index']}"
        keys[key] += 1
        vectors[key] = row["embedding"]
    return keys, vectors


def measure(folder: str, model: str, rounds: int, scratch: Path) -> dict[str, Side]:
    """Run all sides in turn, check that they agree, then kill each and run it again."""
    sides = {name: Side() for name in SIDES}
    vectors: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        for name in SIDES[number % 3 :] + SIDES[: number % 3]:
            out = scratch / f"{name}-{number}"
            turn = take_turn(command_of(name, folder, model, out))
            if turn.exit_code != 0:
                raise SystemExit(f"{name} ended with {turn.exit_code}:\n{turn.errors}")
            keys, vectors[name] = found_in(name, out)
            sides[name].turns.append(turn)
            sides[name].clips = len(keys)
            print(f"  round {number + 1}: {name}: {turn.wall_s:.1f} s", file=sys.stderr)
    worst = max(worst_error(vectors["vfeat"], vectors[name]) for name in SIDES[1:])
    if worst > GATE:
        raise SystemExit(f"the sides disagree: relative error {worst:.1e}; no ratio is printed")
    expected = set(vectors["vfeat"])
    for name, side in sides.items():
        out = scratch / f"{name}-killed"
        command = command_of(name, folder, model, out)
        usual_s = median(turn.wall_s for turn in side.turns)
        take_turn(command, KILL_AFTER * usual_s)
        before, _ = found_in(name, out)
        second = take_turn(command)
        if second.exit_code:
            print(f"  {name}, run again:\n{second.errors}", file=sys.stderr)
        keys, _ = found_in(name, out)
        side.after_kill = {
            "exit code of the second run": second.exit_code,
            "rows after the kill": before.total(),
            "missing": len(expected - set(keys)),
            "twice": sum(count > 1 for count in keys.values()),
            "seconds of the second run": round(second.wall_s),
        }
    return sides


def print_tables(sides: dict[str, Side]) -> None:
    """Print rates, memory and what is left after a SIGKILL."""
    ours = sides["vfeat"].rate
    print(f"{'':10}{'clips':>7}{'median s':>10}{'clips/s':>9}{'vfeat is':>10}{'MB':>7}")
    for name, side in sides.items():
        seconds = median(turn.wall_s for turn in side.turns)
        memory = max(turn.memory_mb for turn in side.turns)
        row = f"{name:10}{side.clips:7,}{seconds:10.1f}{side.rate:9.2f}{ours / side.rate:9.2f}×"
        print(f"{row}{memory:7,.0f}")
    print("\nAfter SIGKILL in the middle, and the same command again:")
    for name, side in sides.items():
        print(f"{name:10}", ", ".join(f"{what} {value}" for what, value in side.after_kill.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="videos that all decode")
    parser.add_argument("--model", default="videomamba_tiny")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="write the figures here")
    parser.add_argument("--side", choices=sorted(PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.folder)
    if arguments.side:
        PEERS[arguments.side](folder, arguments.model, os.path.abspath(arguments.out))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        sides = measure(folder, arguments.model, arguments.rounds, Path(scratch))
    print_tables(sides)
    if arguments.json:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        figures = {name: {**asdict(side), "rate": side.rate} for name, side in sides.items()}
        head = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": machine,
            "folder": Path(folder).name,
        }
        Path(arguments.json).write_text(json.dumps({**head, "sides": figures}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
