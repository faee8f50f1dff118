"""Step g: ViS4mer beside the official sums and attention, at the length of its paper."""

from __future__ import annotations

import json
import statistics
import subprocess
from typing import Any

from benchmarks.gpu.assignment import ROOT, Assignment, StepFailed, python

LENGTH, WIDTH = 11820, 1024
REHEARSED_LENGTH, REHEARSED_WIDTH = 64, 32


def run(job: Assignment) -> None:
    """Run `benchmarks/vis4mer.py`, first its evaluation and then its training step.

    Raises:
        StepFailed: the benchmark failed, or sides that should agree do not.
    """
    length, width = (REHEARSED_LENGTH, REHEARSED_WIDTH) if job.rehearse else (LENGTH, WIDTH)
    # A rehearsal of the training step would only start more processes.
    modes = ("evaluation",) if job.rehearse else ("evaluation", "training")
    problems = []
    for mode in modes:
        result = job.scratch / f"{mode}.json"
        command = python(
            ROOT / "benchmarks" / "vis4mer.py", "--device", job.device, "--only", mode,
            "--lengths", length, "--width", width, "--rounds", 1 if job.rehearse else 5,
            "--json", result,
        )  # fmt: skip
        command += ["--sides", "vis4mer", "official"] if job.rehearse else []
        done = subprocess.run(command, cwd=ROOT)
        if done.returncode:
            problems.append(f"benchmarks/vis4mer.py, {mode}: exit code {done.returncode}")
        if result.exists():
            job.record(mode, sides(json.loads(result.read_text())))
    job.record("headline", _headline(job.recorded))
    if problems:
        raise StepFailed("\n".join(problems))


def sides(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each side's median seconds, peak memory and error, by its name."""
    found = {}
    for side in content["tables"][0]["sides"]:
        if side["skipped"]:
            found[side["name"]] = {"skipped": side["skipped"]}
            continue
        found[side["name"]] = {
            "seconds": statistics.median(side["seconds"]),
            "peak_mb": side["peak_mb"],
            "error": side["error"],
        }
    return found


def _headline(found: dict[str, Any]) -> str:
    lines = []
    for mode, of_mode in found.items():
        ours = of_mode["vis4mer"]["seconds"]
        ratios = [
            f"{side['seconds'] / ours:.1f}x {name}"
            for name, side in of_mode.items()
            if name in ("official", "flash") and "seconds" in side
        ]
        lines.append(f"{mode} {1e3 * ours:.1f} ms: {', '.join(ratios)}")
    return "; ".join(lines)
