"""Groups of checks; each runs in a process of its own and compiles its own kernels."""

from __future__ import annotations

ALL = "all"
DTYPES = ("float32", "bfloat16")
WIDTHS = (384, 768, 1152, 72)

# Those that compile most come first.
GROUPS = (
    *(f"block {width} {dtype}" for width in WIDTHS for dtype in DTYPES),
    "graphs",
    "repeats",
    *(f"others {dtype}" for dtype in DTYPES),
    "golden",
)
