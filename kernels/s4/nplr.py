"""Kernels of S4's state spaces in NPLR form.

Shape suffixes: H channels, N states (their conjugates are implied), F FFT nodes.

Source: S4 (Gu, Goel and Ré, 2022), section 3, algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..precision import no_autocast
from .resolvent import Nodes, kernel_of_sums
from .weights import NplrWeights


def fft_nodes(length: int, device: torch.device | str | None = None) -> Tensor:
    """Compute exp(-2πi k / length) for k = 0..length//2, complex128."""
    angle_F = torch.arange(length // 2 + 1, dtype=torch.float64, device=device)
    angle_F = angle_F * (-2 * torch.pi / length)
    return torch.polar(torch.ones_like(angle_F), angle_F)


def nplr_kernel(weights: NplrWeights, nodes_F: Tensor, taps: int | None = None) -> Tensor:
    """Compute the convolution kernel, (H, taps), in the real dtype of the weights.

    Its length is 2 (F - 1) as in the official code: one tap less than possible when the nodes are
    those of an odd length. Never more than a chunk of the H·N·F denominators is held, with
    gradients too.

    Args:
        nodes_F: complex, on the unit circle.
        taps: number of taps to return; all when None.
    """
    with no_autocast(weights.log_dt):
        dt_H1 = weights.log_dt.exp()[:, None]
        w_HN = weights.w * dt_H1
        state_HN2 = torch.stack([w_HN.real, w_HN.real.square() + w_HN.imag.square()], dim=-1)
        C, Q = weights.C.conj(), weights.Q.conj()
        v_H4N = torch.stack([C * weights.B, C * weights.P, Q * weights.B, Q * weights.P], dim=1)
        v_H4N = v_H4N * dt_H1[:, None]
        coefficients = torch.cat([v_H4N.real, (v_H4N * w_HN.conj()[:, None]).real], dim=1)
        return kernel_of_sums(coefficients, state_HN2, Nodes.at(nodes_F, w_HN.dtype), taps)
