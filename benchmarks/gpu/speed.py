"""Step c: block and model beside the packages mamba-ssm and attention, most telling rows first."""

from __future__ import annotations

import traceback
from dataclasses import asdict

import torch

from benchmarks.gpu.assignment import Assignment, StepFailed
from vfeat.kernels.bench import cuda
from vfeat.kernels.bench.cuda_floors import Machine, measure_machine
from vfeat.kernels.bench.cuda_sides import gate
from vfeat.kernels.bench.videomamba import SIZES, Size

# Compilation, capture and the first passes of a case.
LEAST_S = 4.0


def run(job: Assignment) -> None:
    """Measure the cases until the time is up; each is recorded at once.

    Raises:
        StepFailed: the kernels' results are wrong, so that no time means anything; or a row failed.
    """
    torch.manual_seed(0)
    # Not inference_mode: prepared weights are kept only for tensors that count their changes.
    with torch.no_grad():
        checked = [(TINY, 9)] if job.rehearse else [(size, 197) for size in SIZES]
        problems = [p for size, tokens in checked for p in gate(size, tokens, job.device)]
        if problems:
            raise StepFailed("so nothing is timed: " + "; ".join(dict.fromkeys(problems)))
        machine = measure_machine(job.device)
        job.record("rates", machine._asdict())
        todo = rehearsal_cases() if job.rehearse else list(cuda.cases())
        for index, case in enumerate(todo):
            if job.left_s < LEAST_S:
                job.record("not_run", [str(left) for left in todo[index:]])
                break
            # The first rows count most, so a row gets twice its share of the time left.
            budget_s = min(6.0, 2 * job.left_s / (len(todo) - index))
            _measure(job, case, machine, budget_s)
    failed = job.recorded.get("failed", [])
    job.record("headline", f"{len(job.recorded.get('cases', []))} of {len(todo)} rows")
    if failed:
        raise StepFailed("\n".join(f"{row['case']}: {row['error']}" for row in failed))


def _measure(job: Assignment, case: cuda.Case, machine: Machine, budget_s: float) -> None:
    """Measure a row and record it; a side that fails costs this row alone."""
    try:
        result = cuda.run_case(case, machine, budget_s, job.device)
    except Exception as fault:  # of our kernels, or of a package
        traceback.print_exc()
        first = str(fault).strip().partition("\n")[0]
        job.append("failed", {"case": str(case), "error": f"{type(fault).__name__}: {first}"})
        return
    print(cuda.table(result), flush=True)
    job.append("cases", asdict(result))
    if not job.rehearse:
        torch.cuda.empty_cache()


TINY = Size("rehearsal", 16, 1)


def rehearsal_cases() -> list[cuda.Case]:
    """Return a row of each role, of which Triton's interpreter ends a pass within a second."""
    return [
        cuda.Case("model", TINY, 1, 1, 32, "batch 1"),
        cuda.Case("block", TINY, 1, 2, 32, "filling"),
        cuda.Case("model", TINY, 2, 1, 32, "long"),
    ]
