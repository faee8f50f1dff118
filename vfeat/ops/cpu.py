"""The C++ back-end for CPU tensors."""

from __future__ import annotations

import torch

from vfeat.kernels import (
    cpu_block,
    cpu_conv,
    cpu_library,
    cpu_linear,
    cpu_norm,
    cpu_scan,
    pixels,
)

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class CpuBackend:
    """Fused C++ kernels, forward and backward; narrower dtypes are widened to float32."""

    name = "cpu"
    selective_scan = staticmethod(cpu_scan.selective_scan)
    causal_conv1d = staticmethod(cpu_conv.causal_conv1d)
    linear = staticmethod(cpu_linear.linear)
    bidirectional_mamba = staticmethod(cpu_block.bidirectional_mamba)
    add_rms_norm = staticmethod(cpu_norm.add_rms_norm)
    pixel_rows = staticmethod(pixels.pixel_rows)

    def why_not(self, device_type: str, dtype: torch.dtype) -> str | None:
        """Return a sentence on the wrong device or dtype or missing library; None if it runs."""
        if device_type != "cpu":
            return "it runs on CPU tensors only."
        if dtype not in DTYPES:
            return f"it computes in float32, not {str(dtype).removeprefix('torch.')}."
        return cpu_library.why_missing()
