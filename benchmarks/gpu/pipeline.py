"""Step e: the pipeline around the model, with a decoder that costs nothing and with a real one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.gpu import extraction
from benchmarks.gpu.assignment import ROOT, Assignment, StepFailed, python

TINY, MIDDLE = "videomamba_tiny", "videomamba_middle"
# By the name in the results: options of `benchmarks/pipeline.py`.
SIDES: dict[str, Sequence[object]] = {
    "tiny": ("--model", TINY, "--batch", 64, "--dtype", "bfloat16", "--device", "cuda"),
    "middle": ("--model", MIDDLE, "--batch", 64, "--dtype", "bfloat16", "--device", "cuda"),
    "cpu": ("--model", TINY, "--device", "cpu"),
}
REHEARSED: dict[str, Sequence[object]] = {
    "cpu": ("--model", TINY, "--option", "depth=1", "--size", 32, "--device", "cpu"),
}
# A side with its start, and the real decoder.
EACH_S = 18.0
TIMES = ("--seconds", 2, "--rounds", 2)
REHEARSED_TIMES = ("--seconds", 0.1, "--rounds", 1)


def run(job: Assignment) -> None:
    """Run `benchmarks/pipeline.py` for each side, and then `vfeat extract` with the same model.

    Raises:
        StepFailed: a command failed.
    """
    problems = []
    sides, times = (REHEARSED, REHEARSED_TIMES) if job.rehearse else (SIDES, TIMES)
    parts: dict[str, Callable[[], bool]] = {
        name: partial(_null_decoder, job, name, [*options, *times])
        for name, options in sides.items()
    }
    # The CPU's share is also measured where there is no GPU: it comes last.
    *first, last = parts.items()
    for name, part in (*first, ("real_decoder", partial(_real_decoder, job)), last):
        if job.left_s < EACH_S and not job.rehearse:
            job.append("not_run", name)
        elif not part():
            problems.append(f"{name}: the command failed, see the log")
    job.record("headline", _headline(job.recorded))
    if problems:
        raise StepFailed("\n".join(problems))


def _null_decoder(job: Assignment, name: str, options: Sequence[object]) -> bool:
    """Record the pipeline's share of the bare model's clips a second."""
    result = job.scratch / f"{name}.json"
    command = python(ROOT / "benchmarks" / "pipeline.py", *options, "--json", result)
    if subprocess.run(command, cwd=ROOT).returncode or not result.exists():
        return False
    found: dict[str, Any] = json.loads(result.read_text())
    job.record(name, found)
    return True


def _real_decoder(job: Assignment) -> bool:
    """Record `vfeat extract` of real files with the model and batch of the first side."""
    videos = extraction.copied(
        extraction.videos(job), job.scratch / "many", 1 if job.rehearse else extraction.COPIES
    )
    options = ["--executor", "inline", "--device", job.device, "--dtype", "bfloat16"]
    options += [] if job.rehearse else ["--model", TINY, "--weights", "random"]
    rows = extraction.extract(job, "real_decoder", videos, [*options, "--batch-size", "64"])
    return rows is not None


def _headline(found: dict[str, Any]) -> str:
    shares = [f"{name} {found[name]['ratio']:.1%}" for name in SIDES if name in found]
    real = found.get("real_decoder", {})
    if "clips_per_s" in real:
        shares.append(f"with a real decoder {real['clips_per_s']:.1f} clips/s")
    return "of the bare model: " + ", ".join(shares)
