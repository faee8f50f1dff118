"""Step b: are the results right? Every check is run and recorded, whatever came before.

The checks run in groups, several processes at a time: compiling a kernel takes longer than
running it, and after an illegal access a process has lost its GPU.
"""

from __future__ import annotations

import os
import subprocess
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.assignment import Assignment, StepFailed, python
from benchmarks.gpu.groups import ALL, GROUPS

if TYPE_CHECKING:
    from benchmarks.gpu.operations import Check

LEAST_S = 3.0
INFINITE = 1e9


def run(job: Assignment) -> None:
    """Run all groups until the time is up.

    Raises:
        StepFailed: an error is larger than allowed, or a check could not run.
    """
    problems = _run_groups(job, [ALL] if job.rehearse else list(GROUPS))
    checks = job.recorded.get("checks", [])
    red = [check for check in checks if check["share_of_allowed"] > 1]
    worst = max((check["share_of_allowed"] for check in checks), default=INFINITE)
    least = f"worst error {worst:.0%} of the allowed" if worst < INFINITE else "some without result"
    ended = f"; {len(problems)} groups did not end well" if problems else ""
    job.record("headline", f"{len(checks) - len(red)} of {len(checks)} checks hold, {least}{ended}")
    problems += [f"{check['name']}: {check['problem']}" for check in red]
    if problems:
        raise StepFailed("\n".join(problems))


def _run_groups(job: Assignment, waiting: list[str]) -> list[str]:
    """Run each group in a process; return what went wrong with the processes themselves."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in waiting}
    running: dict[str, subprocess.Popen[bytes]] = {}
    problems = []
    most = max(1, len(os.sched_getaffinity(0)) - 2)
    while waiting or running:
        while waiting and len(running) < most:
            running[waiting[0]] = _start(job, waiting[0])
            del waiting[0]
        time.sleep(0.2)
        for name, process in list(running.items()):
            code = process.poll()
            result = Assignment.read(_folder(job, name) / "result.json")
            found[name] = result.get("results", {}).get("checks", [])
            if code is None:
                continue
            del running[name]
            if "done" not in result:
                error = result.get("error", f"exit code {code}").strip().splitlines()
                problems.append(f"{name}: {error[-1]}")
        merged = [check for checks in found.values() for check in checks]
        if len(merged) != len(job.recorded.get("checks", [])):
            job.record("checks", merged)
    return problems


def _folder(job: Assignment, name: str) -> Path:
    return job.scratch / name.replace(" ", "-")


def _start(job: Assignment, name: str) -> subprocess.Popen[bytes]:
    """Start a group's process; it ends itself before this step is killed."""
    folder = _folder(job, name)
    folder.mkdir()
    mode = ["rehearse"] if job.rehearse else []
    command = python(
        "-m", "benchmarks.gpu.child", "benchmarks.gpu.correctness:run_group",
        folder / "result.json", folder, f"{max(1.0, job.left_s - 2):.1f}", *mode,
    )  # fmt: skip
    return subprocess.Popen(command, env={**os.environ, "VFEAT_CHECKS": name})


def run_group(job: Assignment) -> None:
    """Run the checks of the group that VFEAT_CHECKS names.

    Raises:
        StepFailed: the kernels cannot run, or the time was too short for all of them.
    """
    import torch

    from benchmarks.gpu.golden import model_checks
    from benchmarks.gpu.operations import operation_checks
    from vfeat.kernels.gpu import availability

    group = os.environ["VFEAT_CHECKS"]
    # In float32, where cuDNN's convolutions would round to ten bits by default.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(0)
    # Whole models must not fall back; in a rehearsal the interpreter would take a minute for one.
    os.environ["VFEAT_KERNEL"] = "torch" if job.rehearse else "triton"
    reason = availability.why_not(job.device, torch.float32)
    checks = [*operation_checks(job.device, job.rehearse), *model_checks(job.device, job.rehearse)]
    chosen = [check for check in checks if group in (ALL, check.group)]
    for index, check in enumerate(chosen):
        if job.left_s < LEAST_S:
            raise StepFailed(f"no time for {len(chosen) - index} of {len(chosen)} checks")
        entry = _entry(check)
        job.append("checks", entry)
        print(f"{check.name}: {entry['share_of_allowed']:.2f} of what is allowed", flush=True)
    if reason is not None:
        raise StepFailed(f"triton: {reason}")


def _entry(check: Check) -> dict[str, Any]:
    """Run a check; an exception is its problem, and infinitely wrong."""
    began = time.monotonic()
    try:
        found = check.run()
    except Exception as fault:  # the next check runs all the same
        traceback.print_exc()
        first = str(fault).strip().partition("\n")[0]
        problem = f"{type(fault).__name__}: {first}"
        return {"name": check.name, "share_of_allowed": INFINITE, "problem": problem}
    shares = {name: share(error, allowed) for name, error, allowed in found}
    name = max(shares, key=lambda key: shares[key])
    entry = {
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


def share(error: float, allowed: float) -> float:
    """Return the error as a multiple of what is allowed; NaN is above every limit."""
    if error != error:
        return INFINITE
    if not allowed:
        return INFINITE if error else 0.0
    return error / allowed
