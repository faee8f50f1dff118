"""S4D: kernels of diagonal state spaces.

Shape suffixes: H channels, N states (their conjugates are implied), T taps.

Source: Gu, Gupta, Goel and Ré, "On the Parameterization and Initialization of Diagonal
State Space Models" (S4D), 2022, sections 3 and 4, listing 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..precision import no_autocast


class DiagonalWeights(NamedTuple):
    """A = diag(A), C with B folded into it; complex, one of each conjugate pair.

    Attributes:
        log_dt: (H,) real, logarithm of the time step.
        A, C: (H, N).
    """

    log_dt: Tensor
    A: Tensor
    C: Tensor


def diagonal_kernel(weights: DiagonalWeights, taps: int) -> Tensor:
    """Compute K[t] = 2 Re Σ_n C (exp(dt A) - 1)/A exp(t dt A): zero-order hold, (H, taps).

    With t = g·S + s the powers split into exp(g S dt A) and exp(s dt A), so H·N·2√T of them are
    computed, not H·N·T, and one matrix product gives every tap.
    """
    with no_autocast(weights.log_dt):
        # Exponents in float64: at t = 100,000 a float32 angle has lost its second decimal.
        step_HN = (weights.log_dt.double().exp()[:, None]) * weights.A.to(torch.complex128)
        C_HN = weights.C * ((step_HN.exp() - 1) / weights.A).to(weights.C.dtype)
        stride = math.isqrt(max(0, taps - 1)) + 1
        groups = -(-taps // stride)
        within_S = torch.arange(stride, dtype=torch.float64, device=step_HN.device)
        within_HNS = (step_HN[..., None] * within_S).exp().to(C_HN.dtype)
        starts_G = within_S[0] + stride * torch.arange(groups, device=step_HN.device)
        starts_HGN = (step_HN[:, None] * starts_G[:, None]).exp().to(C_HN.dtype)
        taps_HGS = 2 * ((C_HN[:, None] * starts_HGN) @ within_HNS).real
        return taps_HGS.flatten(1)[:, :taps]
