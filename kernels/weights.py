"""One direction's parameters of a bidirectional Mamba block.

Shape suffixes: E channels, W conv taps, R rank of the time step, N states.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class DirectionWeights(NamedTuple):
    """Parameters of one direction; in_proj and out_proj are shared and not included.

    It is a NamedTuple, so that a fused kernel can pass it through autograd as plain tensors.

    Attributes:
        conv_weight_EW: depthwise causal convolution, the last tap on the current token.
        conv_bias_E: its bias, or None.
        x_proj_weight: (R + 2N, E); rows are the time step's rank, then B, then C.
        dt_weight_ER: projection from the rank-R form to the time step.
        dt_bias_E: added before the softplus; always taken in float32.
        A_log_EN: A = -exp(A_log), per unit of time step; always taken in float32.
        D_E: skip connection; always taken in float32.
    """

    conv_weight_EW: Tensor
    conv_bias_E: Tensor | None
    x_proj_weight: Tensor
    dt_weight_ER: Tensor
    dt_bias_E: Tensor
    A_log_EN: Tensor
    D_E: Tensor

    @property
    def rank(self) -> int:
        """R, the width of the time step before `dt_weight_ER`."""
        return self.dt_weight_ER.shape[1]

    @property
    def states(self) -> int:
        """N, the states of each channel."""
        return self.A_log_EN.shape[1]
