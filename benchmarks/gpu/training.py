"""Step f: a training step on our kernels, on mamba-ssm's, and on the torch fallback."""

from __future__ import annotations

import json
import statistics
import subprocess

from benchmarks.gpu.assignment import ROOT, Assignment, StepFailed, python
from benchmarks.gpu.machine import found

MODELS = ("videomamba_tiny", "videomamba_middle")
# Seconds that a second model needs at least.
SECOND_S = 15.0
REHEARSED = (
    "--sides", "triton,torch", "--model", "videomamba", "--model-option", "depth=1",
    "--model-option", "embed_dim=16", "--size", "32", "--num-frames", "1", "--batch-size", "1",
    "--rounds", "1",
)  # fmt: skip


def run(job: Assignment) -> None:
    """Run `benchmarks.train_step`, and record each side's median seconds.

    Raises:
        StepFailed: the benchmark failed, or gradients do not agree.
    """
    for model in ("rehearsal",) if job.rehearse else MODELS:
        if model != MODELS[0] and not job.rehearse and job.left_s < SECOND_S:
            job.record("not_run", [model])
            break
        result = job.scratch / f"{model}.json"
        command = python("-m", "benchmarks.train_step", "--device", job.device, "--json", result)
        command += REHEARSED if job.rehearse else ("--model", model)
        # The fallback takes the larger model minutes; with the packages there it is not needed.
        if model == MODELS[1] and found("mamba_ssm"):
            command += ["--sides", "triton,mamba_ssm"]
        done = subprocess.run(command, cwd=ROOT)
        if done.returncode or not result.exists():
            raise StepFailed(f"benchmarks.train_step {model}: exit code {done.returncode}")
        content = json.loads(result.read_text())
        # The first step of each side is a warm-up.
        seconds = {name: statistics.median(all_s[1:]) for name, all_s in content["seconds"].items()}
        entry = {"model": model, "error": content["error"], "batch": content["batch_size"]}
        job.append("models", {**entry, "seconds": seconds})
    job.record("headline", "; ".join(_line(entry) for entry in job.recorded["models"]))


def _line(entry: dict[str, object]) -> str:
    seconds: dict[str, float] = entry["seconds"]  # type: ignore[assignment]
    ours = seconds["triton"]
    ratios = [f"{s / ours:.1f}x {name}" for name, s in seconds.items() if name != "triton"]
    return f"{entry['model']} {ours:.3f} s a step: {', '.join(ratios)}"
