"""Building blocks of every kernel: the decorator, the loop, and functions of one number.

A GPU's special-function unit computes 2^x in one instruction; Triton's own `exp` and `log` add
steps around it. The interpreter has no inline PTX, so there the same functions are plain. Which of
the two holds is fixed when this module is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl

INTERPRETED: bool = triton.knobs.runtime.interpret
PTX = tl.constexpr(not INTERPRETED)
LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)

# Counts that change from batch to batch. Triton would compile a kernel anew for a count of 1 and
# for a multiple of 16, a second each, and gain nothing: a row's length is a constant.
COUNTS = ["batch", "length", "tokens", "segments"]
# The decorators under names that the type checker can follow.
jit: Callable[[Callable[..., Any]], Any] = triton.jit(do_not_specialize=COUNTS)
# For kernels that read (N, E) blocks of states or of A: `scan.py` explains why the compiler
# must not assume that these are aligned.
jit_states: Callable[[Callable[..., Any]], Any] = triton.jit(
    do_not_specialize=COUNTS,
    do_not_specialize_on_alignment=[
        "A_KNE",
        "start_KBSNE",
        "end_KBSNE",
        "last_KBNE",
        "scratch_KBTNE",
        "grad_last_KBNE",
        "grad_A_KBNE",
    ],
)


def _interpreted_steps(count: Any, **options: object) -> range:
    """Stand in for `tl.range`, which fails in the interpreter on run-time bounds with numpy 2.4."""
    return range(int(count.handle.data.item()) if hasattr(count, "handle") else int(count))


# `for t in steps(count)`: a loop of the compiler, with its options.
steps: Any = _interpreted_steps if INTERPRETED else tl.range


@jit
def exp2(x: tl.tensor) -> tl.tensor:
    """Compute 2^x to two units in the last place; results below 2^-126 are 0."""
    if PTX:
        y = tl.inline_asm_elementwise(
            "ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        y = tl.exp2(x)
    return y


@jit
def reciprocal(x: tl.tensor) -> tl.tensor:
    """Compute 1/x to one unit in the last place."""
    if PTX:
        y = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        y = 1.0 / x
    return y


@jit
def log1p_unit(e: tl.tensor) -> tl.tensor:
    """Compute log(1 + e) for e in [0, 1], relative error 2e-7: e times a fitted polynomial.

    The hardware's lg2 would lose the digits of a small time step, and its special-function unit is
    the bottleneck of the scan.
    """
    p = 0.005253457795633574 * e - 0.029588507387506232
    p = p * e + 0.07836166801035187
    p = p * e - 0.1367476970486526
    p = p * e + 0.1911143108029864
    p = p * e - 0.2484436989240893
    p = p * e + 0.33319271342496803
    p = p * e - 0.49999501516787237
    return (p * e + 1.0) * e


@jit
def softplus(x: tl.tensor) -> tl.tensor:
    """Compute log(1 + exp(x)), with full relative precision wherever it is not 0."""
    return tl.maximum(x, 0.0) + log1p_unit(exp2(-tl.abs(x) * LOG2E))


@jit
def sigmoid(x: tl.tensor) -> tl.tensor:
    """Compute 1 / (1 + exp(-x))."""
    return reciprocal(1.0 + exp2(-x * LOG2E))


@jit
def wide(pointer: tl.tensor, mask: tl.tensor) -> tl.tensor:
    """Load as float32; 0 where masked."""
    return tl.load(pointer, mask=mask, other=0.0).to(tl.float32)


@jit
def narrow(x: tl.tensor, pointer: tl.tensor) -> tl.tensor:
    """Round to the nearest value of the pointer's dtype, where the interpreter would truncate."""
    if PTX or pointer.dtype.element_ty != tl.bfloat16:
        y = x
    else:
        bits = x.to(tl.uint32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        y = tl.where(x == x, bits.to(tl.float32, bitcast=True), x)
    return y
