"""Times and memory of work on the GPU.

Without one, wall time and the process's own memory stand in, so that the benchmark's code can run.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

Run = Callable[[], object]
# Launches of one round together last at least this long, so that event noise is small.
ROUND_MS = 3.0


class Side(NamedTuple):
    """One variant's result; the figures are None where it ran out of memory.

    Attributes:
        ms: median of a pass.
        peak_bytes: what a pass allocates beyond the weights and the input of all variants; of a
            graph, its input and output only.
    """

    name: str
    ms: float | None
    peak_bytes: int | None


def measure(variants: Mapping[str, Run], budget_s: float) -> list[Side]:
    """Measure interleaved medians and peak memory; leave out a variant that does not fit."""
    fitting: dict[str, Run] = {}
    peaks: dict[str, int] = {}
    for name, run in variants.items():
        peak = peak_bytes(run)
        if peak is not None:
            fitting[name], peaks[name] = run, peak
    times = interleaved(fitting, rounds=9, budget_s=budget_s) if fitting else {}
    return [Side(name, times.get(name), peaks.get(name)) for name in variants]


def peak_bytes(run: Run) -> int | None:
    """Return the memory of the second pass, after compilation; None if it does not fit."""
    if not torch.cuda.is_available():
        run()
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        run()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
    except torch.cuda.OutOfMemoryError:
        gc.collect()
        torch.cuda.empty_cache()
        return None
    return torch.cuda.max_memory_allocated() - before


def interleaved(
    variants: Mapping[str, Run], rounds: int, budget_s: float = 60.0
) -> dict[str, float]:
    """Measure median milliseconds, one of each in turn, so that all run at the same clocks."""
    if not torch.cuda.is_available():
        return {name: _timed(run, 1) for name, run in variants.items()}
    repeats = {
        name: max(1, round(ROUND_MS / max(1e-3, _once(run)))) for name, run in variants.items()
    }
    estimate_s = sum(repeats[n] * _once(run) for n, run in variants.items()) / 1e3
    rounds = max(3, min(rounds, int(budget_s / max(1e-6, estimate_s))))
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            found[name].append(_timed(run, repeats[name]))
    return {name: statistics.median(times) for name, times in found.items()}


def _once(run: Run) -> float:
    """Measure the milliseconds of a pass, not counting the first call."""
    run()
    return _timed(run, 1)


def _timed(run: Run, repeats: int) -> float:
    """Measure the milliseconds of a pass, by events around several."""
    if not torch.cuda.is_available():
        began = time.perf_counter()
        for _ in range(repeats):
            run()
        return 1e3 * (time.perf_counter() - began) / repeats
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in "be")  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    begin.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / repeats


def relative(found: Tensor, exact: Tensor) -> float:
    """Compute ‖found - exact‖ / ‖exact‖ in float64; NaN passes no gate."""
    a, b = found.detach().double().cpu(), exact.detach().double().cpu()
    return float((a - b).norm() / b.norm())
