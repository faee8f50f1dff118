"""`python -m vfeat.kernels.bench cpu`: the C++ kernels beside their alternatives.

Everything in one run: the correctness gate, this machine's GEMM rate, the block forward and in
training, whole models, then time and memory against length. Sides take turns and medians are
compared. A red gate prints no time at all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch

from ..cpu_library import load, why_missing
from ..processor import processor
from . import cpu_cases
from .cpu_cases import ATTENTION, FALLBACK, OURS
from .cpu_floors import Work, block_work, gemm_rate
from .cpu_timing import Side, measure
from .videomamba import SIZES, Size

TINY, SMALL = SIZES[:2]
LENGTHS = (8, 16, 32, 64, 128, 256)
ALL = [OURS, FALLBACK, *ATTENTION]


class Case(NamedTuple):
    """One row of the benchmark.

    Attributes:
        work: what our side has to do; None where it is not counted (training).
    """

    name: str
    sides: Callable[[], dict[str, Callable[[], object]]]
    work: Work | None


def main(argv: list[str]) -> int:
    """Run the benchmark; return 0 when done, 1 if the gate is red, 4 if there is no library."""
    parser = argparse.ArgumentParser(prog="python -m vfeat.kernels.bench cpu", description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write everything there")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--budget", type=float, default=20, help="seconds a case, about (20)")
    parser.add_argument(
        "--slow-frames", type=int, default=32, metavar="N",
        help="longest clip of the fallback and of joint attention in the slope (32)",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    if why_missing() is not None:
        print(f"bench cpu: {why_missing()}")
        return 4
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    problems = [problem for size in (TINY, SMALL) for problem in cpu_cases.gate(size)]
    if problems:
        print("RED, so nothing is timed:", *problems, sep="\n  ")
        return 1
    machine = describe(arguments.threads)
    print("\n".join(f"{key}: {value}" for key, value in machine.items()), flush=True)
    results = []
    for case in cases(arguments.slow_frames):
        if arguments.only in case.name:
            sides = run(case, arguments.budget)
            print(table(case, sides, machine), flush=True)
            work = None if case.work is None else case.work._asdict()
            results.append({"case": case.name, "work": work, "sides": [s._asdict() for s in sides]})
    if arguments.json:
        document = {"machine": machine, "cases": results}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def cases(slow_frames: int) -> Iterator[Case]:
    """Yield blocks, models, and the slope with length."""
    tokens = 8 * 196 + 1
    for size in (TINY, SMALL):
        yield Case(
            f"block {size.name} forward",
            lambda size=size: cpu_cases.block_sides(size, tokens, "forward"),  # type: ignore[misc]
            block_work(size, tokens, projections=False),
        )
        yield Case(
            f"block {size.name} training",
            lambda size=size: cpu_cases.block_sides(size, tokens, "training"),  # type: ignore[misc]
            None,
        )
    yield model_case("model", TINY, 8, ALL)
    yield model_case("model", SMALL, 8, ALL)
    yield model_case("model", TINY, 64, ALL)
    for frames in LENGTHS:
        slow = ALL if frames <= slow_frames else [OURS, "ViT by frame"]
        yield model_case("slope", TINY, frames, slow)


def model_case(kind: str, size: Size, frames: int, wanted: list[str]) -> Case:
    """Build the case of a whole model at a length."""
    return Case(
        f"{kind} {size.name} {frames} frames",
        lambda: cpu_cases.model_sides(size, frames, wanted),
        block_work(size, 196 * frames + 1, projections=True).times(size.depth),
    )


def run(case: Case, budget_s: float) -> list[Side]:
    """Measure a case, with gradients for training and in inference mode otherwise."""
    with torch.inference_mode("training" not in case.name):
        return measure(case.sides(), rounds=21, budget_s=budget_s)


def table(case: Case, sides: list[Side], machine: dict[str, str | float]) -> str:
    """Format a case in a few lines for people."""
    lines = [f"\n{case.name}"]
    floor_ms = None
    if case.work is not None:
        work, floor_ms = case.work, case.work.floor_ms(float(machine["gemm_flops_per_s"]))
        lines[0] += (
            f": {work.bytes / 1e6:.0f} MB through the fused part, "
            f"{(work.gemm_flops + work.flops) / 1e9:.1f} GFLOP, "
            f"{work.exponentials / 1e6:.0f} M exponentials; floor {floor_ms:.1f} ms"
        )
    ours = sides[0]
    for side in sides:
        line = (
            f"  {side.name:13} {side.ms:9.1f} ms (best {side.best_ms:.1f}, cpu {side.cpu_ms:.1f})"
        )
        line += f" {side.peak_bytes / 2**20:6.0f} MiB"
        if side.name != OURS:
            cpu = side.cpu_ms / ours.cpu_ms
            line += f"   {side.ms / ours.ms:6.2f} x the time of {OURS}, {cpu:.2f} x its CPU time"
        elif floor_ms:
            line += f"   {side.ms / floor_ms:6.2f} x the floor"
        lines.append(line)
    return "\n".join(lines)


def describe(threads: int) -> dict[str, str | float]:
    """Describe the machine and the conditions of the measurement."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": processor("model name") or platform.processor(),
        "cores": os.cpu_count() or 0,
        "threads": threads,
        "isa": load().isa,
        "torch": torch.__version__,
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "unset"),
        "load_average": os.getloadavg()[0],
        "gemm_flops_per_s": gemm_rate(),
    }
