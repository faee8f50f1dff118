"""Utilisation of the GPU by the driver's counters, sampled while something else runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EVERY_S = 0.1


class Samples:
    """Shares of time in which a kernel ran, one for each tenth of a second."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.why_none: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return the mean from the first to the last sample with work, or why there is none."""
        busy = [index for index, share in enumerate(self.shares) if share]
        if not busy:
            return {"why_none": self.why_none or "no sample with work"}
        within = self.shares[busy[0] : busy[-1] + 1]
        return {"mean": sum(within) / len(within), "samples": len(within)}


@contextmanager
def sampled() -> Iterator[Samples]:
    """Sample NVML in a thread; without the package or the driver, there are no samples."""
    samples, stop = Samples(), threading.Event()
    try:
        import pynvml

        pynvml.nvmlInit()
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception as error:  # ImportError, or an NVMLError of many kinds
        samples.why_none = f"{type(error).__name__}: {error}"
        yield samples
        return

    def watch() -> None:
        while not stop.wait(EVERY_S):
            try:
                samples.shares.append(pynvml.nvmlDeviceGetUtilizationRates(card).gpu / 100)
            except pynvml.NVMLError as error:
                samples.why_none = str(error)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
        pynvml.nvmlShutdown()
