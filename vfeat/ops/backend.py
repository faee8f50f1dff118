"""Interface of a kernel back-end, and the one that always runs."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vfeat.kernels import pixels, reference, torch_ops
from vfeat.kernels.pixels import Patch
from vfeat.kernels.weights import DirectionWeights


class Backend(Protocol):
    """The operations, with the signatures of `vfeat.kernels.reference`.

    Arguments have been checked by `vfeat.ops`. Inputs may be non-contiguous, of any
    batch size including none, under autocast or not, and results are differentiable.
    """

    @property
    def name(self) -> str:
        """Value of `VFEAT_KERNEL` that selects it."""
        ...

    def why_not(self, device_type: str, dtype: torch.dtype) -> str | None:
        """Return a sentence on why it cannot run there; None when it can.

        Args:
            device_type: `cpu` or `cuda`, as in `torch.device.type`.
            dtype: dtype of the activations.
        """
        ...

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
        """Return y_BEL in the dtype of u, and the last state (B, E, N)."""
        ...

    def causal_conv1d(
        self, x_BEL: Tensor, weight_EW: Tensor, bias_E: Tensor | None, silu: bool, reverse: bool
    ) -> Tensor:
        """Return y_BEL in the dtype of x."""
        ...

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return x W^T + b over the last dimension, in the dtype of x."""
        ...

    def bidirectional_mamba(
        self, xz_BL2E: Tensor, forward: DirectionWeights, backward: DirectionWeights
    ) -> Tensor:
        """Return y_BLE in the dtype of xz, before out_proj."""
        ...

    def add_rms_norm(
        self, hidden_BLD: Tensor, residual_BLD: Tensor | None, weight_D: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor]:
        """Return the normalised sum in the dtype of the weight, and the sum, float32 or float64."""
        ...

    def pixel_rows(
        self,
        frames_BTHWC: Tensor,
        mean_C: Tensor,
        std_C: Tensor,
        patch: Patch,
        dtype: torch.dtype,
    ) -> Tensor:
        """Return normalised patches rows_BTPR of uint8 pixels."""
        ...


class TorchBackend:
    """Torch operations only: every device and dtype, forward and backward."""

    name = "torch"
    selective_scan = staticmethod(torch_ops.selective_scan)
    causal_conv1d = staticmethod(torch_ops.causal_conv1d)
    linear = staticmethod(F.linear)
    bidirectional_mamba = staticmethod(torch_ops.bidirectional_mamba)
    add_rms_norm = staticmethod(reference.add_rms_norm)
    pixel_rows = staticmethod(pixels.pixel_rows)

    def why_not(self, device_type: str, dtype: torch.dtype) -> str | None:
        """Return None: it runs everywhere."""
        return None
