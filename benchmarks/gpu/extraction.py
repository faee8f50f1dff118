"""Step d: `vfeat extract` as a user types it, on real files, with Ray and a GPU.

The CPU's rows are the truth for the GPU's. VFEAT_CLIPS names another folder of videos.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.assignment import ROOT, Assignment, StepFailed, python
from benchmarks.gpu.decoding import compare_decoders
from benchmarks.gpu.machine import LIBRARIES, loads
from benchmarks.gpu.utilisation import sampled

# Relative differences of an embedding: another order of sums (and ten bits in a convolution), or
# bfloat16 through all blocks, stored as float16.
GATES = {"float32": 5e-3, "bfloat16": 6e-2}
SAME_LABELS = 0.9
COPIES = 24
DECODERS = ROOT / "benchmarks" / "nvdec.py"
NVML = LIBRARIES["libnvidia-ml"]
REHEARSED = (
    "--model", "videomamba_tiny", "--weights", "random", "--model-option", "depth=1",
    "--num-frames", "4", "--size", "32",
)  # fmt: skip

Rows = dict[tuple[str, int], tuple[np.ndarray, str]]


def run(job: Assignment) -> None:
    """Extract on the CPU, on the GPU in this process, and on the GPU with Ray; compare the rows.

    Raises:
        StepFailed: a command failed, or rows differ by more than the gates allow.
    """
    given = videos(job)
    many = copied(given, job.scratch / "many", 1 if job.rehearse else COPIES)
    problems: list[str] = []
    truth = extract(job, "cpu", given, ["--executor", "inline", "--device", "cpu"])
    if truth is None:
        raise StepFailed("the CPU's rows are missing: see the log")
    gpu = ["--device", "auto" if job.rehearse else "cuda"]
    sides = {
        "gpu_float32": (given, "float32", [*gpu, "--executor", "inline"]),
        "gpu_ray": (many, "bfloat16", [*gpu, "--dtype", "bfloat16", "--gpus-per-actor", "1"]),
    }
    if job.rehearse:
        del sides["gpu_float32"]  # the CPU's command again
    for name, (folder, dtype, options) in sides.items():
        rows = extract(job, name, folder, options)
        if rows is None:
            problems.append(f"{name}: the command failed, see the log")
            continue
        facts = difference(rows, truth)
        job.record(f"{name}_difference", facts)
        problems += [f"{name}: {problem}" for problem in judged(facts, GATES[dtype])]
    if DECODERS.exists() and not job.rehearse:  # it has a rehearsal of its own among the tests
        problems += compare_decoders(job, given)
    job.record("headline", _headline(job.recorded))
    if problems:
        raise StepFailed("\n".join(problems))


def videos(job: Assignment) -> Path:
    """Return the folder of videos; in a rehearsal, the two smallest of them."""
    folder = Path(os.environ.get("VFEAT_CLIPS", ROOT / "jobs" / "demo_clips"))
    if not job.rehearse:
        return folder
    smallest = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)[:2]
    few = job.scratch / "few"
    few.mkdir()
    for path in smallest:
        shutil.copy(path, few)
    return few


def copied(folder: Path, to: Path, copies: int) -> Path:
    """Copy every video several times: a run on a GPU should last longer than its start."""
    to.mkdir()
    for path in sorted(folder.iterdir()):
        for number in range(copies):
            shutil.copy(path, to / f"{number:03d}-{path.name}")
    return to


def extract(job: Assignment, name: str, folder: Path, options: list[str]) -> Rows | None:
    """Run the command and record its summary; return its rows, or None if it failed."""
    out = job.scratch / name
    command = python("-m", "vfeat", "extract", folder, "--out", out, "--json", *options)
    command += REHEARSED if job.rehearse else ()
    environment = dict(os.environ)
    # Ray counts GPUs by NVML. Where that is missing, and in a rehearsal, one is declared.
    if job.rehearse or not loads(NVML):
        environment["RAY_OVERRIDE_RESOURCES"] = json.dumps({"GPU": 1})
    began = time.monotonic()
    with sampled() as samples:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    seconds = time.monotonic() - began
    try:
        summary = json.loads(done.stdout)
    except ValueError:
        job.record(name, {"exit_code": done.returncode, "wall_s": seconds})
        return None
    job.record(name, {**facts(summary), "wall_s": round(seconds, 2), "nvml": samples.facts()})
    print(json.dumps(summary, indent=1), flush=True)
    return rows_of(out) if done.returncode == 0 else None


def facts(summary: dict[str, Any]) -> dict[str, Any]:
    """Select figures of a run's summary, and compute clips a second of its work.

    `encode_s` is the time in which the model computed: of a GPU by CUDA events.
    """
    names = (
        "encoded_clips", "run_s", "encode_s", "hand_over_s", "wait_s", "read_s", "decode_s",
        "write_s", "blocked_s", "child_s", "executor", "exit_code",
    )  # fmt: skip
    found = {name: summary[name] for name in names if name in summary}
    worked_s = summary.get("run_s") or summary["encode_s"] + summary["wait_s"]
    if worked_s:
        found["clips_per_s"] = summary["encoded_clips"] / worked_s
        found["computed_share"] = summary["encode_s"] / worked_s
    return found


def rows_of(out: Path) -> Rows:
    """Return embedding and first label of every clip, by file name and number of the clip."""
    import pyarrow.dataset as ds

    columns = ["uri", "clip_index", "embedding", "labels"]
    found: Rows = {}
    for row in ds.dataset(out / "features").to_table(columns=columns).to_pylist():
        label = row["labels"][0]["label"] if row["labels"] else ""
        vector = np.asarray(row["embedding"], np.float64)
        found[row["uri"].rsplit("/", 1)[-1], row["clip_index"]] = vector, label
    return found


def difference(rows: Rows, truth: Rows) -> dict[str, Any]:
    """Compare rows with the CPU's; a copy's name is its number, a dash, and the original's."""
    originals = {name for name, _ in truth}
    pairs, unknown = [], 0
    for (name, index), row in rows.items():
        key = name if name in originals else name.partition("-")[2], index
        if key in truth:
            pairs.append((row, truth[key]))
        else:
            unknown += 1
    errors = [float(np.linalg.norm(a - b) / np.linalg.norm(b)) for (a, _), (b, _) in pairs]
    same = sum(ours == theirs for (_, ours), (_, theirs) in pairs)
    return {
        "rows": len(rows),
        "rows_of_cpu": len(truth),
        "unknown_rows": unknown,
        # NaN is not larger than anything, and none is no agreement.
        "worst_error": float(np.max(errors)) if errors else float("inf"),
        "same_first_label": same / max(1, len(pairs)),
    }


def judged(facts: dict[str, Any], gate: float) -> list[str]:
    """Return what is wrong with rows that differ."""
    found = []
    if facts["unknown_rows"] or facts["rows"] % facts["rows_of_cpu"]:
        found.append(f"{facts['rows']} rows beside the CPU's {facts['rows_of_cpu']}")
    if not facts["worst_error"] <= gate:
        found.append(f"an embedding differs by {facts['worst_error']:.1e}, allowed {gate:.0e}")
    if facts["same_first_label"] < SAME_LABELS:
        found.append(f"only {facts['same_first_label']:.0%} of first labels are the CPU's")
    return found


def _headline(found: dict[str, Any]) -> str:
    ray, apart = found.get("gpu_ray", {}), found.get("gpu_ray_difference", {})
    if "clips_per_s" not in ray or not apart:
        return "no figures of the run with Ray"
    return (
        f"{ray['clips_per_s']:.1f} clips/s with Ray, the model computed "
        f"{ray['computed_share']:.0%} of the time, worst row {apart['worst_error']:.1e}"
    )
