"""Step e: the pipeline around the model: with a decoder that costs nothing, and with a real one."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from benchmarks.gpu.assignment import ROOT, Assignment, StepFailed, python

MODELS = {"tiny": ("videomamba_tiny", 64), "middle": ("videomamba_middle", 64)}


def run(job: Assignment) -> None:
    raise StepFailed("not written")
