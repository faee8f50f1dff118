"""Wall time and memory of work on the CPU."""

from __future__ import annotations

import ctypes
import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

Run = Callable[[], object]


class Side(NamedTuple):
    """One variant's result.

    Attributes:
        ms: median of a pass.
        best_ms: the fastest; far below the median, the machine was not quiet.
        cpu_ms: median of the CPU time of all threads, which other work disturbs less.
        peak_bytes: what the process held at most during a pass, beyond what it held before.
    """

    name: str
    ms: float
    best_ms: float
    cpu_ms: float
    peak_bytes: int


def measure(variants: Mapping[str, Run], rounds: int, budget_s: float) -> list[Side]:
    """Measure one pass of each in turn until the budget is spent.

    Turns give all variants the same state of the machine. The pass whose memory is measured counts
    as the first, so that slow variants need two.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    peaks: dict[str, int] = {}
    begin = time.perf_counter()
    for name, run in variants.items():
        time_, peaks[name] = _first_pass(run)
        found[name] = [time_]
    for _ in range(rounds - 1):
        if time.perf_counter() - begin > budget_s:
            break
        for name, run in variants.items():
            found[name].append(timed_ms(run))
    sides = []
    for name, times in found.items():
        wall, cpu = zip(*times, strict=True)
        sides.append(
            Side(name, statistics.median(wall), min(wall), statistics.median(cpu), peaks[name])
        )
    return sides


def timed_ms(run: Run) -> tuple[float, float]:
    """Time one pass: wall time, and CPU time of the process."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)


def _first_pass(run: Run) -> tuple[tuple[float, float], int]:
    """Time a pass that follows another, and measure how much the resident set grew in it.

    Linux resets the peak on request; elsewhere it is that of the whole process so far.
    """
    run()
    gc.collect()
    if sys.platform != "linux":
        return timed_ms(run), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    times = timed_ms(run)
    return times, max(0, _resident("VmHWM") - before)


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))
