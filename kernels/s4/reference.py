"""State spaces in plain form: every faster form must equal them.

Shape suffixes: H channels, M = 2N states, N states of which the other N are conjugates, L steps, F
= L//2 + 1 FFT nodes.

Source: S4 (Gu, Goel and Ré, 2022), sections 2.3 and 3, algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .doubling import dense_system
from .weights import NplrWeights


def dense_kernel(weights: NplrWeights, l_max: int, length: int) -> Tensor:
    """Compute K[l] = C* A^l B in float64, (H, length), with C = C̃ (I - A^l_max)^-1 undone."""
    A_HMM, B_HM, C_HM = dense_system(weights)
    whole_HMM = torch.linalg.matrix_power(A_HMM, l_max)
    one_MM = torch.eye(A_HMM.shape[-1], dtype=A_HMM.dtype)
    C_HM = torch.linalg.solve((one_MM - whole_HMM).mH, C_HM[..., None])[..., 0]
    taps = []
    for _ in range(length):
        taps.append((C_HM.conj() * B_HM).sum(-1).real)
        B_HM = (A_HMM @ B_HM[..., None])[..., 0]
    return torch.stack(taps, dim=-1)


def cauchy_kernel(weights: NplrWeights, nodes_F: Tensor, z_F: Tensor) -> Tensor:
    """Compute the kernel as the official code does, one Cauchy sum after the other.

    Args:
        nodes_F: points of the unit circle.
        z_F: 2 (1 - nodes) / (1 + nodes).

    Returns:
        (H, 2 (F - 1)), real. Materialises H·N·F numbers: for one chunk of channels.
    """
    dt_H1 = weights.log_dt.exp()[:, None]
    w_HN = weights.w * dt_H1

    def cauchy(v_HN: Tensor) -> Tensor:
        below = (z_F - w_HN[..., None]) * (z_F - w_HN.conj()[..., None])
        above = z_F * v_HN.real[..., None] - (v_HN * w_HN.conj()).real[..., None]
        return 2 * dt_H1 * (above / below).sum(-2)

    B, C, P, Q = weights.B, weights.C.conj(), weights.P, weights.Q.conj()
    r00, r01, r10, r11 = cauchy(C * B), cauchy(C * P), cauchy(Q * B), cauchy(Q * P)
    kernel: Tensor = torch.fft.irfft((r00 - r01 * r10 / (1 + r11)) * 2 / (1 + nodes_F))
    return kernel


def direct_convolution(u_BLH: Tensor, kernel_HT: Tensor) -> Tensor:
    """Compute y[l] = sum_t k[t] u[l - t], causal, (B, L, H), by its definition."""
    y_BLH = torch.zeros_like(u_BLH)
    length = u_BLH.shape[1]
    for tap in range(min(length, kernel_HT.shape[1])):
        y_BLH[:, tap:] = y_BLH[:, tap:] + kernel_HT[:, tap] * u_BLH[:, : length - tap]
    return y_BLH
