"""Availability of the kernels: queries the machine, and imports triton only at the end."""

from __future__ import annotations

import os
import shutil
import sysconfig
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch

DTYPES = (torch.float32, torch.bfloat16)
# Above rounding, with GEMMs in TF32 too; far below any mistake.
TOLERANCE = 1e-2


@cache
def why_not(device_type: str, dtype: torch.dtype) -> str | None:
    """Return what is missing, in a sentence with the remedy; None when the kernels run.

    TRITON_INTERPRET=1 lets them run, slowly, on CPU tensors.
    """
    if dtype not in DTYPES:
        return f"it computes in float32 and bfloat16, not {str(dtype).removeprefix('torch.')}."
    if find_spec("triton") is None:
        return "the package triton is not installed: pip install triton."
    if device_type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1":
        return None
    if device_type != "cuda" or not torch.cuda.is_available():
        return "it needs an NVIDIA GPU, and torch finds none."
    return _why_not_here() or _self_check()


def _why_not_here() -> str | None:
    """Return a sentence if the GPU is too old, or a tool that triton builds with is missing."""
    if torch.version.hip:
        return "it contains instructions of NVIDIA GPUs; this is an AMD build of torch."
    major, minor = torch.cuda.get_device_capability()
    if major < 8:
        return f"it needs compute capability 8.0 or later; this GPU has {major}.{minor}."
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "triton builds its launcher with a C compiler: install gcc, or set CC."
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not headers.exists():
        return f"triton builds its launcher against {headers}: install python3-dev."
    return None


@cache
def _self_check() -> str | None:
    """Run a small block once against torch: the kernels were compiled for an untested GPU."""
    from .. import torch_ops
    from ..weights import DirectionWeights
    from .block import bidirectional_mamba

    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device="cpu").cuda()

    def direction() -> DirectionWeights:
        project, dt = normal(44, 64) / 8, normal(64, 12) / 4
        return DirectionWeights(
            normal(64, 4), normal(64), project, dt, normal(64), normal(64, 16), normal(64)
        )

    try:
        with torch.no_grad():
            given = normal(2, 70, 128), direction(), direction()
            found, want = bidirectional_mamba(*given), torch_ops.bidirectional_mamba(*given)
            error = float((found - want).abs().max() / want.abs().max())
    except Exception as problem:  # any error of triton means that it cannot run here
        return f"triton failed on this GPU: {type(problem).__name__}: {problem}"
    if not error < TOLERANCE:
        return f"its result differs from torch's by {error:.1e} on this GPU; please report it."
    return None
