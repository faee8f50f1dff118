"""Lower bounds of a block's work, and this CPU's time for them.

The floor counts instructions of the multiply-add kind and divides by the rate at which the GEMM,
measured at the start of the run, executes them: two FLOPs each. One state's step is ten of them
(the exponent, five of the polynomial, the input, the update, the output, and one for the reduction
to [-1/2, 1/2]).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..cpu_linear import linear
from .cpu_timing import timed_ms
from .videomamba import STATES, TAPS, Size

STEP = 10  # multiply-adds of one state and token
SIGMOID = 14  # multiply-adds of a SiLU; a softplus takes as many
DIRECTIONS = 2


class Work(NamedTuple):
    """Counts of one pass.

    Attributes:
        bytes: input and output of the fused part: xz and y once.
        gemm_flops: in_proj and out_proj.
        flops: all other operations, two for a multiply-add.
        exponentials: exponentials of decays, SiLUs and softplus.
    """

    bytes: float
    gemm_flops: float
    flops: float
    exponentials: float

    def times(self, count: float) -> Work:
        """Multiply the counts."""
        return Work(*(count * value for value in self))

    def floor_ms(self, flops_per_s: float) -> float:
        """Compute the time at the rate of a GEMM throughout."""
        return 1e3 * (self.gemm_flops + self.flops) / flops_per_s


def block_work(size: Size, tokens: int, projections: bool) -> Work:
    """Count the work of one block over `tokens` tokens; with in_proj and out_proj or without."""
    channels = 2 * size.width
    state = STEP * STATES
    products = (size.rank + 2 * STATES) + size.rank  # x_proj and the time step
    direction = TAPS + 2 * SIGMOID + products + state + 1
    return Work(
        bytes=4.0 * tokens * 3 * channels,
        gemm_flops=2.0 * tokens * size.width * 3 * channels if projections else 0.0,
        flops=2.0 * tokens * channels * (DIRECTIONS * direction + SIGMOID + 1),
        exponentials=1.0 * tokens * channels * (DIRECTIONS * (STATES + 2) + 1),
    )


def gemm_rate() -> float:
    """Measure the FLOP/s of a large product, as if its threads were alone on their cores."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    least_cpu_ms = min(timed_ms(lambda: linear(a, b, None))[1] for _ in range(30))
    return 2 * 1024**3 / least_cpu_ms * 1e3 * torch.get_num_threads()
