"""Runs the steps one after another; whatever happens to one, the next one runs.

A step's file is copied into the document while the step runs, so that even a runner that is killed
has lost less than a second of results.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.assignment import ROOT, Assignment
from benchmarks.gpu.document import Document, last_lines
from benchmarks.gpu.plan import Step

# A step has this much less time than passes before it is killed.
GRACE_S = 5.0
LEAST_S = 10.0
POLL_S = 0.2
# Variables that name a folder, perhaps from the one in which the run was started.
FOLDERS = ("VFEAT_CLIPS", "VFEAT_GOLDEN", "VFEAT_SHARED")


@dataclass(frozen=True)
class Run:
    """Settings that all steps of a run share.

    Attributes:
        scratch: folder for everything that is not a result.
        deadline_s: end of the whole run on the monotonic clock.
        rehearse: on the CPU, with tiny sizes.
    """

    scratch: Path
    deadline_s: float
    rehearse: bool


def run_steps(steps: Sequence[Step], run: Run, document: Document) -> bool:
    """Run the steps; return whether all of them ended well."""
    for step in steps:
        document.enter(step.key, title=step.title, state="to do")
    with document.log.open("ab") as log:
        for step in steps:
            limit_s = min(step.limit_s, run.deadline_s - time.monotonic())
            if limit_s < min(LEAST_S, step.limit_s):
                document.enter(step.key, state="not run", error="no time was left")
                continue
            print(f"{step.key}  {step.title} ...", flush=True)
            log.write(f"\n=== {step.key} {step.title}\n".encode())
            log.flush()
            _run_step(step, limit_s, run, document, log)
            entry = document.steps[step.key]
            print(f"   {entry['state']} in {entry['seconds']:.0f} s", flush=True)
    return all(document.steps[step.key]["state"] == "done" for step in steps)


def _run_step(step: Step, limit_s: float, run: Run, document: Document, log: Any) -> None:
    """Run one step to its end or its limit, and enter what it recorded."""
    folder = run.scratch / step.key
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "result.json"
    # A limit of a few seconds leaves no grace.
    own_s = limit_s - min(GRACE_S, limit_s / 4)
    command = [sys.executable, "-m", "benchmarks.gpu.child", step.function]
    command += [str(result), str(folder), f"{own_s:.1f}", *(["rehearse"] if run.rehearse else [])]
    document.enter(step.key, state="running")
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
        env=environment(step, run), start_new_session=True,
    )  # fmt: skip
    timed_out = False
    try:
        seen = 0
        while process.poll() is None:
            seen = _copy(step, result, seen, document)
            if time.monotonic() - began > limit_s:
                timed_out = True
                break
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        document.enter(step.key, state="interrupted")
        raise
    finally:
        _end(process)
    found = Assignment.read(result)
    state, error = _verdict(process.returncode, found, limit_s if timed_out else None)
    document.enter(
        step.key,
        state=state,
        seconds=round(time.monotonic() - began, 1),
        results=found.get("results", {}),
        **({"error": last_lines(error)} if error else {}),
    )


def environment(step: Step, run: Run) -> dict[str, str]:
    """Return a step's environment: nothing is written into the checkout or the home folder."""
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = [str(ROOT), *map(os.path.abspath, given)]  # a step runs in another folder
    found = {
        "TRITON_CACHE_DIR": str(run.scratch / "triton"),
        "CUDA_CACHE_PATH": str(run.scratch / "cuda"),
        "TORCH_EXTENSIONS_DIR": str(run.scratch / "extensions"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        **{name: os.path.abspath(os.environ[name]) for name in FOLDERS if name in os.environ},
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
    }
    found.pop("VFEAT_KERNEL", None)
    if run.rehearse and step.interprets:
        found["TRITON_INTERPRET"] = "1"
    else:
        found.pop("TRITON_INTERPRET", None)
    return found


def _copy(step: Step, result: Path, seen: int, document: Document) -> int:
    """Enter what a running step has recorded since; return the file's time."""
    with contextlib.suppress(OSError):
        at = result.stat().st_mtime_ns
        if at != seen:
            document.enter(step.key, results=Assignment.read(result).get("results", {}))
        return at
    return seen


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a step with everything that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)


def _verdict(code: int, found: dict[str, Any], limit_s: float | None) -> tuple[str, str | None]:
    """Return the state of a step that has ended, and its error."""
    if limit_s is not None:
        return "timed out", f"killed after {limit_s:.0f} s"
    if code < 0:
        return "killed", f"killed by {signal.Signals(-code).name}"
    if "done" in found:
        return "done", None
    return "failed", found.get("error", f"ended with exit code {code}")
