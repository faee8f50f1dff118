"""The back-ends for NVIDIA GPUs: our own kernels in Triton, and the package mamba-ssm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vfeat.kernels import mamba_ssm_ops, pixels, reference, torch_ops
from vfeat.kernels.gpu import availability
from vfeat.kernels.pixels import Patch
from vfeat.kernels.weights import DirectionWeights


class TritonBackend:
    """Fused kernels, forward and backward; triton itself is imported at the first call."""

    name = "triton"
    # The block has its own; alone, the convolution is one pass over memory for torch too.
    causal_conv1d = staticmethod(torch_ops.causal_conv1d)
    linear = staticmethod(F.linear)

    def why_not(self, device_type: str, dtype: torch.dtype) -> str | None:
        """Return a sentence if there is no GPU, no triton, or another dtype; None if it runs."""
        return availability.why_not(device_type, dtype)

    def selective_scan(
        self,
        u_BEL: Tensor,
        delta_BEL: Tensor,
        A_EN: Tensor,
        B: Tensor,
        C: Tensor,
        D_E: Tensor | None,
        z_BEL: Tensor | None,
        delta_bias_E: Tensor | None,
        delta_softplus: bool,
        reverse: bool,
    ) -> tuple[Tensor, Tensor]:
        """Run the fused scan; see `Backend`."""
        from vfeat.kernels.gpu import block

        return block.selective_scan(
            u_BEL, delta_BEL, A_EN, B, C, D_E, z_BEL, delta_bias_E, delta_softplus, reverse
        )

    def bidirectional_mamba(
        self, xz_BL2E: Tensor, forward: DirectionWeights, backward: DirectionWeights
    ) -> Tensor:
        """Run the fused block; see `Backend`."""
        from vfeat.kernels.gpu import block

        return block.bidirectional_mamba(xz_BL2E, forward, backward)

    def add_rms_norm(
        self, hidden_BLD: Tensor, residual_BLD: Tensor | None, weight_D: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor]:
        """Run the fused norm; see `Backend`."""
        from vfeat.kernels.gpu import norm

        return norm.add_rms_norm(hidden_BLD, residual_BLD, weight_D, epsilon)

    def pixel_rows(
        self,
        frames_BTHWC: Tensor,
        mean_C: Tensor,
        std_C: Tensor,
        patch: Patch,
        dtype: torch.dtype,
    ) -> Tensor:
        """Cut and normalise in one kernel; see `Backend`."""
        from vfeat.kernels.gpu import pixels as gpu_pixels

        return gpu_pixels.pixel_rows(frames_BTHWC, mean_C, std_C, patch, dtype)


class MambaSsmBackend:
    """The packages mamba-ssm and causal-conv1d, composed as the official VideoMamba does."""

    name = "mamba_ssm"
    selective_scan = staticmethod(mamba_ssm_ops.selective_scan)
    causal_conv1d = staticmethod(mamba_ssm_ops.causal_conv1d)
    linear = staticmethod(F.linear)
    bidirectional_mamba = staticmethod(mamba_ssm_ops.bidirectional_mamba)
    add_rms_norm = staticmethod(reference.add_rms_norm)
    pixel_rows = staticmethod(pixels.pixel_rows)

    def why_not(self, device_type: str, dtype: torch.dtype) -> str | None:
        """Return a sentence on the missing package, device or dtype; None if it runs."""
        return mamba_ssm_ops.why_not(device_type, dtype)
