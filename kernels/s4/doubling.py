"""Kernels that are longer than the length which C was processed for.

Shape suffixes: H channels, N states, M = 2N with their conjugates.

Source: S4 (Gu, Goel and Ré, 2022), appendix C.3; the doubling is the official code's.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .weights import NplrWeights

MATRIX_ELEMENTS = 1 << 19  # elements of the dense matrices of one chunk


def doubled(weights: NplrWeights, l_max: int, times: int) -> NplrWeights:
    """Return the same state space with C processed for length l_max · 2^times.

    (I - A^2L) = (I - A^L)(I + A^L), so C is multiplied by I + A^L for every doubling. It runs in
    complex128, where a power of thousands keeps its digits, and a few channels at a time.
    """
    if times == 0:
        return weights
    size = max(1, MATRIX_ELEMENTS // (2 * weights.w.shape[-1]) ** 2)
    graph = torch.is_grad_enabled() and any(t.requires_grad for t in weights)
    parts = []
    for start in range(0, len(weights.log_dt), size):
        part = weights.channels(slice(start, start + size))
        if graph:
            C_HN = checkpoint(
                _doubled_C, part, l_max, times, use_reentrant=False, preserve_rng_state=False
            )
            parts.append(cast(Tensor, C_HN))
        else:
            parts.append(_doubled_C(part, l_max, times))
    return weights._replace(C=torch.cat(parts))


def _doubled_C(weights: NplrWeights, l_max: int, times: int) -> Tensor:
    """Compute C of a few channels, (H, N)."""
    A_HMM, _, C_HM = dense_system(weights)
    power_HMM = torch.linalg.matrix_power(A_HMM, l_max)
    for _ in range(times):
        C_HM = C_HM + (power_HMM.mH @ C_HM[..., None])[..., 0]
        power_HMM = power_HMM @ power_HMM
    return C_HM[:, : weights.C.shape[-1]].to(weights.C.dtype)


def dense_system(weights: NplrWeights) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the bilinear discretisation in complex128: A (H, M, M), B (H, M) and C̃ (H, M).

    C̃ is as stored, already multiplied by (I - A^L).
    """
    w, P, Q, B, C = (_paired(t) for t in (weights.w, weights.P, weights.Q, weights.B, weights.C))
    dt_H = weights.log_dt.double().exp()
    A_HMM = torch.diag_embed(w) - P[..., :, None] * Q.conj()[..., None, :]
    half_HMM = dt_H[:, None, None] / 2 * A_HMM
    one_MM = torch.eye(w.shape[-1], dtype=w.dtype, device=w.device)
    step_HMM = torch.linalg.solve(one_MM - half_HMM, one_MM + half_HMM)
    input_HM = torch.linalg.solve(one_MM - half_HMM, (dt_H[:, None] * B)[..., None])[..., 0]
    return step_HMM, input_HM, C.expand_as(input_HM)


def _paired(half: Tensor) -> Tensor:
    """Append the conjugates, complex128."""
    half = half.to(torch.complex128)
    return torch.cat([half, half.conj()], dim=-1)
