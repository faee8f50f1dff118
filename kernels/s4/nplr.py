"""Kernels of S4's state spaces in NPLR form, a chunk of channels at a time.

Shape suffixes: H channels, N states (their conjugates are implied), F FFT nodes.

Source: S4 (Gu, Goel and Ré, 2022), section 3, algorithm 1.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..precision import no_autocast
from .resolvent import Basis, node_basis, resolvent_sums
from .weights import NplrWeights

# Denominators of one chunk: what fits the cache, and what amortises the autograd graph.
CACHE_ELEMENTS = 1 << 19
GRAPH_ELEMENTS = 1 << 22


def fft_nodes(length: int, device: torch.device | str | None = None) -> Tensor:
    """exp(-2πi k / length) for k = 0..length//2, complex128."""
    angle_F = torch.arange(length // 2 + 1, dtype=torch.float64, device=device)
    angle_F = angle_F * (-2 * torch.pi / length)
    return torch.polar(torch.ones_like(angle_F), angle_F)


def nplr_kernel(weights: NplrWeights, nodes_F: Tensor, taps: int | None = None) -> Tensor:
    """The convolution kernel, (H, taps), in the real dtype of the weights.

    Its length is 2 (F - 1) as in the official code: one tap less than it could be when the
    nodes are those of an odd length. Never holds more than a chunk of the H·N·F
    denominators, with gradients too: the backward pass computes each chunk again.

    Args:
        nodes_F: complex, on the unit circle.
        taps: how many of them to return; all when None.
    """
    with no_autocast(weights.log_dt):
        real = weights.log_dt.dtype
        nodes_F = nodes_F.to(torch.complex128)
        basis = node_basis(nodes_F, real)
        nodes_F = nodes_F.to(weights.B.dtype)
        graph = torch.is_grad_enabled() and any(t.requires_grad for t in weights)
        budget = GRAPH_ELEMENTS if graph else CACHE_ELEMENTS
        size = max(1, budget // (weights.w.shape[-1] * len(nodes_F)))
        parts = []
        for start in range(0, len(weights.log_dt), size):
            part = weights.channels(slice(start, start + size))
            if graph:
                kernel = checkpoint(
                    _chunk, part, nodes_F, basis, taps, use_reentrant=False,
                    preserve_rng_state=False,
                )  # fmt: skip
                parts.append(cast(Tensor, kernel))
            else:
                parts.append(_chunk(part, nodes_F, basis, taps))
        return torch.cat(parts)


def _chunk(weights: NplrWeights, nodes_F: Tensor, basis: Basis, taps: int | None) -> Tensor:
    """The kernel of a few channels.

    With T = (1+ω)(z P - Q) / 2 for the two sums P and Q of each Cauchy sum, the sum itself
    is 2 (1+ω) T, and times the bilinear transform's 2/(1+ω) it is 4 T: nothing is divided
    by 1+ω, which is zero at the last node.
    """
    dt_H1 = weights.log_dt.exp()[:, None]
    w_HN = weights.w * dt_H1
    state_HN2 = torch.stack([w_HN.real, w_HN.real.square() + w_HN.imag.square()], dim=-1)
    C, Q = weights.C.conj(), weights.Q.conj()
    v_H4N = torch.stack([C * weights.B, C * weights.P, Q * weights.B, Q * weights.P], dim=1)
    v_H4N = v_H4N * dt_H1[:, None]
    coefficients = torch.cat([v_H4N.real, (v_H4N * w_HN.conj()[:, None]).real], dim=1)
    P_H4F, Q_H4F = resolvent_sums(coefficients, state_HN2, basis).chunk(2, dim=1)
    plus_F = 1 + nodes_F
    T_H4F = (2 * (1 - nodes_F)) * P_H4F - plus_F * Q_H4F
    T00, T01, T10, T11 = T_H4F.unbind(1)
    twice_F = 2 * plus_F
    kernel: Tensor = torch.fft.irfft(4 * (T00 - T01 * (twice_F * T10) / (1 + twice_F * T11)))
    # A copy, so that a short kernel does not hold a long one.
    return kernel if taps is None else kernel[:, :taps].clone()
