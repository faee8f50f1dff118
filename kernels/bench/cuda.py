"""`python -m vfeat.kernels.bench cuda`: our kernels beside their alternatives.

Everything in one run: the correctness gate, this GPU's rates, the block, the model, then time and
memory against length. Sides take turns and medians are compared. Cases that do not fit the minutes
are listed as not run. A red gate prints no time at all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from . import cuda_floors, cuda_sides
from .cuda_floors import Machine, block_work, floors, measure_machine
from .cuda_timing import Side, measure
from .videomamba import SIZES, Size, tokens

NO_GPU = "bench cuda: it needs an NVIDIA GPU, and torch finds none here; nothing was measured"
OURS, BASELINE = "triton", "mamba_ssm"
LENGTHS = (8, 16, 32, 64, 128, 256)


class Case(NamedTuple):
    """One row: a `block` or a `model`, of a size, at a number of frames and clips.

    Attributes:
        side: side of a frame in pixels.
        role: what the row is an example of, for whoever reads figures of several: `batch 1`,
            `filling`, `long`, or empty.
    """

    what: str
    size: Size
    frames: int
    batch: int
    side: int = 224
    role: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.size.name} {self.frames} frames, batch {self.batch}"


@dataclass
class Result:
    """Measurements of one case: milliseconds, bytes, and the floors of our kernels."""

    case: str
    what: str
    role: str
    clips: int
    sides: list[dict[str, object]]
    work: dict[str, float]
    floors_ms: dict[str, float]


def cases() -> Iterator[Case]:
    """Yield the cases, the most informative first: those after the deadline are not run."""
    small_large_medium = (SIZES[0], SIZES[2], SIZES[1])
    for size in small_large_medium:
        yield Case("model", size, 8, 1, role="batch 1")
        yield Case("model", size, 8, 64, role="filling")
        yield Case("block", size, 8, 1, role="batch 1")
        yield Case("block", size, 8, 64, role="filling")
        yield Case("model", size, 64, 1, role="long")
    for frames, batches in ((8, (16, 4)), (64, (8,)), (16, (1, 32))):
        for size in small_large_medium:
            yield from (Case("model", size, frames, batch) for batch in batches)
    yield from (Case("block", size, 8, 8) for size in SIZES)
    yield from (Case("block", size, 64, batch) for size in SIZES for batch in (1, 8))
    yield from (
        Case("model", SIZES[0], frames, 1) for frames in LENGTHS if frames not in (8, 16, 64)
    )


def main(argv: list[str]) -> int:
    """Run the benchmark; return 0 when done, 1 if the gate is red, 4 if there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m vfeat.kernels.bench cuda", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of the whole run (10)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder")
    arguments = parser.parse_args(argv)
    if not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 4
    deadline = time.monotonic() + 60 * arguments.minutes
    torch.manual_seed(0)
    # Not inference_mode: prepared weights are kept only for tensors that count their changes.
    with torch.no_grad():
        problems = [problem for size in SIZES for problem in cuda_sides.gate(size)]
        if problems:
            print("RED, so nothing is timed:", *problems, sep="\n  ")
            return 1
        machine = measure_machine()
        print(_described(machine))
        results, left_out = run_all(machine, deadline)
    path = write(arguments.out, machine, results, left_out)
    print(f"{len(results)} cases, {len(left_out)} not run for lack of time; {path}")
    return 0


def run_all(machine: Machine, deadline: float) -> tuple[list[Result], list[str]]:
    """Run the cases; each gets its share of the time that is left."""
    results, left_out, todo = [], [], list(cases())
    for index, case in enumerate(todo):
        left_s = deadline - time.monotonic()
        if left_s < 5:
            left_out.append(str(case))
            continue
        result = run_case(case, machine, budget_s=left_s / (len(todo) - index))
        print(table(result), flush=True)
        results.append(result)
        torch.cuda.empty_cache()
    return results, left_out


def run_case(case: Case, machine: Machine, budget_s: float, device: str = "cuda") -> Result:
    """Measure every side, and count what ours has to do."""
    length = tokens(case.frames, case.side)
    sides: dict[str, Callable[[], Tensor]]
    if case.what == "block":
        sides = cuda_sides.block_sides(case.size, length, case.batch, device)
    else:
        sides = cuda_sides.model_sides(case.size, case.frames, case.batch, case.side, device)
    measured = measure(sides, budget_s)
    whole = case.what == "model"
    work = block_work(case.size, length * case.batch, 2, projections=whole)
    work = work.times(case.size.depth if whole else 1)
    least = floors(work, machine)
    return Result(
        str(case), case.what, case.role, case.batch,
        [s._asdict() for s in measured], work._asdict(), least._asdict(),
    )  # fmt: skip


def table(result: Result) -> str:
    """Format a result in a few lines for people."""
    sides = [Side(**side) for side in result.sides]  # type: ignore[arg-type]
    work, least = cuda_floors.Work(**result.work), cuda_floors.Floors(**result.floors_ms)
    name, floor_ms = least.largest
    lines = [
        f"\n{result.case}: {work.bytes / 1e9:.2f} GB, {work.flops / 1e12:.3f} TFLOP, "
        f"{work.exponentials / 1e9:.2f} G exponentials; floors in ms: "
        + ", ".join(f"{key} {value:.3f}" for key, value in result.floors_ms.items())
    ]
    base = next((side.ms for side in sides if side.name == BASELINE), None)
    for side in sides:
        if side.ms is None or side.peak_bytes is None:
            lines.append(f"  {side.name:16} does not fit the memory")
            continue
        line = (
            f"  {side.name:16} {side.ms:9.3f} ms {1e3 * result.clips / side.ms:10.1f} clips/s "
            f"{side.peak_bytes / 2**30:7.2f} GiB"
        )
        if base:
            line += f"  {base / side.ms:5.2f}x {BASELINE}"
        if side.name.startswith(OURS):
            line += f"  {floor_ms / side.ms:4.0%} of the {name} floor"
        lines.append(line)
    return "\n".join(lines)


def _described(machine: Machine) -> str:
    return (
        f"{machine.name}: {machine.multiprocessors} multiprocessors at most at "
        f"{machine.clock_hz / 1e9:.2f} GHz; measured {machine.bytes_per_s / 1e12:.2f} TB/s and "
        f"{machine.flops_per_s / 1e12:.0f} TFLOP/s in bfloat16"
    )


def write(folder: Path, machine: Machine, results: list[Result], left_out: list[str]) -> Path:
    """Write all results, with date and hardware."""
    now = datetime.now(UTC)
    document = {
        "when": now.isoformat(timespec="seconds"),
        "machine": machine._asdict(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "dtype": "bfloat16",
        "cases": [asdict(result) for result in results],
        "not_run": left_out,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"cuda-{now:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
