"""Lower bounds of a block's work, and the GPU's time for them.

Three floors: special functions (16 results per clock and multiprocessor), instructions (5 per state
and 32 channels: two products, an exponential, two fused multiply-adds; four schedulers), and bytes
(of our own sequence of kernels, GEMMs apart from each other). Rates of memory and of GEMMs are
measured at the start of each run.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from .cuda_timing import Run, interleaved
from .videomamba import STATES, TAPS, Size


class Machine(NamedTuple):
    """Measured capabilities of the GPU.

    Attributes:
        clock_hz: the highest, as the driver states it.
        bytes_per_s: measured by a copy, read and written.
        flops_per_s: measured by a bfloat16 GEMM.
    """

    name: str
    multiprocessors: int
    clock_hz: float
    bytes_per_s: float
    flops_per_s: float


class Work(NamedTuple):
    """Counts of one block, or of several together."""

    bytes: float
    flops: float
    exponentials: float
    state_updates: float

    def times(self, count: float) -> Work:
        """Multiply the counts."""
        return Work(*(count * value for value in self))


class Floors(NamedTuple):
    """Least milliseconds of each kind of work."""

    special: float
    issue: float
    memory: float
    gemm: float

    @property
    def largest(self) -> tuple[str, float]:
        """Binding floor and its milliseconds."""
        return max(self._asdict().items(), key=lambda item: item[1])


def block_work(size: Size, tokens: int, itemsize: int, projections: bool = False) -> Work:
    """Count one block's work from in_proj's output to out_proj's input, or with both and the norm.

    Args:
        size: dimensions of the model.
        tokens: number of tokens of all clips.
        itemsize: bytes of an activation.
        projections: count in_proj, out_proj and add + norm too.
    """
    channels, rank, s = 2 * size.width, size.rank, itemsize
    columns = 2 * STATES + rank
    kept = 8 if s == 2 else 2 * s  # the first direction's y, written and read
    conv = s * channels + 2 * s * channels
    project = 2 * s * channels + 2 * 4 * columns
    dt = 2 * 4 * rank + 2 * s * channels
    scan = 4 * s * channels + 2 * 8 * STATES + (2 * s + kept) * channels
    moved = conv + project + dt + scan
    flops = 2 * (2 * channels * columns + 2 * rank * channels + 2 * TAPS * channels)
    updates = 2 * channels * STATES
    flops += 6 * updates
    if projections:
        moved += (size.width + 2 * channels) * s + (channels + size.width) * s
        moved += (2 * s + 8) * size.width
        flops += 2 * size.width * 2 * channels + 2 * channels * size.width
    # dt A; softplus and two of SiLU for both directions; two of the gate.
    exponentials = updates + 2 * channels * 3 + 2 * channels
    return Work(moved, flops, exponentials, updates).times(tokens)


def floors(work: Work, machine: Machine) -> Floors:
    """Compute the least time for each kind of work."""
    clocks = 1e3 / (machine.multiprocessors * machine.clock_hz)
    return Floors(
        work.exponentials / 16 * clocks,
        5 * work.state_updates / 32 / 4 * clocks,
        1e3 * work.bytes / machine.bytes_per_s,
        1e3 * (work.flops - 6 * work.state_updates) / machine.flops_per_s,
    )


def measure_machine(device: str = "cuda") -> Machine:
    """Query the driver, copy a gibibyte, multiply 8192 by 8192; less of both on a CPU."""
    floats, side = (1 << 28, 8192) if device == "cuda" else (1 << 20, 256)
    source = torch.empty(floats, device=device).normal_()
    target = torch.empty_like(source)
    a, b = torch.randn(2, side, side, device=device, dtype=torch.bfloat16).unbind()
    copy_ms = _median_ms(lambda: target.copy_(source))
    gemm_ms = _median_ms(lambda: torch.mm(a, b))
    return Machine(
        *_processor(device), 2 * source.numel() * 4 / copy_ms * 1e3, 2 * side**3 / gemm_ms * 1e3
    )


def _processor(device: str) -> tuple[str, int, float]:
    """Return name, multiprocessors and highest clock; of a CPU, figures that stand in."""
    if device != "cuda":
        return "CPU", 1, 2e9
    properties = torch.cuda.get_device_properties(0)
    clock_hz = 1e3 * getattr(properties, "clock_rate", 1_980_000)
    return properties.name, properties.multi_processor_count, clock_hz


def _median_ms(run: Run) -> float:
    return interleaved({"it": run}, rounds=10)["it"]
