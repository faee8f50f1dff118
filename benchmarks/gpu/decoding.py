"""A part of step d: the GPU's decoder beside PyAV, where the driver has one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.gpu.assignment import ROOT, Assignment, python

# Seconds that the comparison takes at least.
LEAST_S = 20.0


def compare_decoders(job: Assignment, videos: Path) -> list[str]:
    """Run `benchmarks.nvdec` and record what it found; return what is wrong with it.

    A machine without the driver's decoder is no failure: the reason is recorded.
    """
    if job.left_s < LEAST_S:
        job.record("nvdec", {"not_measured": "no time was left"})
        return []
    result = job.scratch / "nvdec.json"
    command = python("-m", "benchmarks.nvdec", videos, "--json", result)
    command += ["--children", "1", "4"]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    print(done.stderr, flush=True)
    if result.exists():
        job.record("nvdec", json.loads(result.read_text()))
        return ["nvdec: clips or colours differ from PyAV's, see the log"] * bool(done.returncode)
    last = done.stderr.strip().splitlines()[-1:] or ["no output"]
    if last[0].startswith("not measured: "):
        job.record("nvdec", {"not_measured": last[0].removeprefix("not measured: ")})
        return []
    return [f"nvdec: {last[0]}"]
