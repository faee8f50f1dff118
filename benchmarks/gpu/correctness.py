"""Step b: are the results right? Every check is run and recorded, whatever came before."""

from __future__ import annotations

import time
import traceback
from itertools import chain

import torch

from benchmarks.gpu.assignment import Assignment, StepFailed
from benchmarks.gpu.golden import model_checks
from benchmarks.gpu.operations import Check, operation_checks
from vfeat.kernels.gpu import availability

LEAST_S = 3.0


def run(job: Assignment) -> None:
    """Run the checks until the time is up.

    Raises:
        StepFailed: an error is larger than allowed, or a check could not run.
    """
    reason = availability.why_not(job.device, torch.float32)
    job.record("triton", reason or "runs")
    _exact_products()
    # The models of `model_checks` must not fall back to another back-end.
    torch.manual_seed(0)
    checks = list(
        chain(operation_checks(job.device, job.rehearse), model_checks(job.device, job.rehearse))
    )
    red, worst, left_out = [], 0.0, []
    for check in checks:
        if job.left_s < LEAST_S:
            left_out.append(check.name)
            continue
        entry = _entry(check)
        job.append("checks", entry)
        worst = max(worst, entry["share_of_allowed"])
        print(f"{check.name}: {entry['share_of_allowed']:.2f} of what is allowed", flush=True)
        if entry["share_of_allowed"] > 1:
            red.append(f"{check.name}: {entry['problem']}")
    job.record("not_run", left_out)
    done = len(checks) - len(left_out)
    job.record(
        "headline",
        f"{done - len(red)} of {len(checks)} checks hold, worst error {worst:.0%} of the allowed",
    )
    if red or reason:
        raise StepFailed("\n".join([*([f"triton: {reason}"] if reason else []), *red]))


def _exact_products() -> None:
    """Multiply in float32, where cuDNN's convolutions would round to ten bits by default."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _entry(check: Check) -> dict[str, object]:
    """Run a check; an exception is its problem, and infinitely wrong."""
    began = time.monotonic()
    try:
        found = check.run()
    except Exception as fault:  # the next check runs all the same
        traceback.print_exc()
        problem = (
            f"{type(fault).__name__}: {str(fault).strip().splitlines()[0] if str(fault) else ''}"
        )
        return {"name": check.name, "share_of_allowed": 1e9, "problem": problem}
    shares = {name: _share(error, allowed) for name, error, allowed in found}
    name = max(shares, key=lambda key: shares[key])
    entry: dict[str, object] = {
        "name": check.name,
        "worst": name,
        "share_of_allowed": shares[name],
        "errors": {name: error for name, error, _ in found},
        "seconds": round(time.monotonic() - began, 2),
    }
    if shares[name] > 1:
        error, allowed = next((e, a) for n, e, a in found if n == name)
        entry["problem"] = f"{name} has error {error:.1e}, allowed {allowed:.1e}"
    return entry


def _share(error: float, allowed: float) -> float:
    """Return the error as a multiple of what is allowed; NaN is above every limit."""
    if error != error:
        return 1e9
    if not allowed:
        return 1e9 if error else 0.0
    return error / allowed
