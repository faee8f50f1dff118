"""Kernels from Cauchy sums, a chunk of channels at a time, forward and backward.

A sum over conjugate pairs at a node ω of the unit circle, with z = 2 (1-ω)/(1+ω), is

    Σ_n  v/(z - w) + v̄/(z - w̄)  =  2 Σ_n (z Re v - Re(v w̄)) / ((z - w)(z - w̄))

Multiplied by (1+ω)² the denominator is a polynomial that is finite everywhere, at ω = -1
too, where z is not:

    den = 4 (1-ω)² - 4 (1-ω)(1+ω) Re w + (1+ω)² |w|²

It has only two numbers of the state in it, so all denominators of a chunk are one matrix
product; the sums are another, because the four of them share the denominators. With

    T = 2 (1-ω) Σ Re v / den - (1+ω) Σ Re(v w̄) / den

a Cauchy sum is 2 (1+ω) T, and the kernel's spectrum, the Woodbury correction and the
bilinear transform's 2/(1+ω) included, is

    K = 4 (T00 - T01 g T10 / (1 + g T11))      g = 2 (1+ω)

Shape suffixes: H channels (h of a chunk), N states, F nodes; 8 rows of coefficients: Re v
of the sums 00, 01, 10, 11, then Re(v w̄) of the same. Parts of complex numbers interleave.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from .chunks import for_device

# Denominators of one chunk: as many as fit the cache.
CHUNK_ELEMENTS = 1 << 18
# Numbers of the spectra that are transformed at once: planning an FFT of 11,820 points
# takes longer than running it for one channel.
GROUP_ELEMENTS = 1 << 20


class Nodes(NamedTuple):
    """The factors that depend on the FFT nodes alone.

    Attributes:
        constant: 4 (1-ω)², (2F,) real parts.
        factors: factors of Re w and |w|² in the denominator, (2, 2F) real parts.
        minus: 2 (1-ω), (F,).
        plus: 1+ω, (F,).
    """

    constant: Tensor
    factors: Tensor
    minus: Tensor
    plus: Tensor

    @classmethod
    def at(cls, nodes_F: Tensor, dtype: torch.dtype) -> Nodes:
        """Compute the factors in complex128 and store them in the given complex dtype."""
        nodes_F = nodes_F.to(torch.complex128)
        minus, plus = 1 - nodes_F, 1 + nodes_F
        factors = torch.stack([-4 * minus * plus, plus**2]).to(dtype)
        constant = (4 * minus**2).to(dtype)
        return cls(_parts(constant), _parts(factors), 2 * minus.to(dtype), plus.to(dtype))


def kernel_of_sums(
    coefficients_H8N: Tensor, state_HN2: Tensor, nodes: Nodes, taps: int | None
) -> Tensor:
    """Compute the kernel's first taps, (H, T), differentiable in the first two arguments.

    Args:
        coefficients_H8N: Re v and Re(v w̄), real.
        state_HN2: Re w and |w|², where w is scaled by the time step.
        taps: number of taps; all 2 (F - 1) when None.
    """
    kernel_HT = _KernelOfSums.apply(coefficients_H8N, state_HN2, nodes, taps)  # type: ignore[no-untyped-call]
    return cast(Tensor, kernel_HT)


def _parts(x: Tensor) -> Tensor:
    """View (..., F) complex as (..., 2F) real."""
    return torch.view_as_real(x).flatten(-2)


def _complex(parts: Tensor) -> Tensor:
    """View (..., 2F) real as (..., F) complex."""
    return torch.view_as_complex(parts.view(*parts.shape[:-1], -1, 2))


def _groups(state_HN2: Tensor, nodes: Nodes) -> list[list[slice]]:
    """Slice the channels into chunks, grouped by what is transformed at once."""
    channels, states = state_HN2.shape[:2]
    size = max(1, for_device(CHUNK_ELEMENTS, state_HN2.device) // (states * len(nodes.plus)))
    chunks = [slice(i, min(i + size, channels)) for i in range(0, channels, size)]
    group = for_device(GROUP_ELEMENTS, state_HN2.device)
    together = max(1, group // (size * len(nodes.plus)))
    return [chunks[i : i + together] for i in range(0, len(chunks), together)]


def _inverse_denominators(state_hN2: Tensor, nodes: Nodes) -> Tensor:
    """Compute 1 / den, (h, N, 2F) parts, in one buffer, the chunk's largest."""
    buffer = torch.addmm(nodes.constant, state_hN2.flatten(0, 1), nodes.factors)
    _complex(buffer).reciprocal_()
    return buffer.view(*state_hN2.shape[:2], -1)


def _terms(coefficients_h8N: Tensor, inverse_hN2F: Tensor, nodes: Nodes) -> tuple[Tensor, ...]:
    """Compute T00, T01, T10, T11, each (h, F)."""
    P_h4F, Q_h4F = _complex(torch.bmm(coefficients_h8N, inverse_hN2F)).chunk(2, dim=1)
    return (nodes.minus * P_h4F).sub_(nodes.plus * Q_h4F).unbind(1)


class _KernelOfSums(torch.autograd.Function):
    """Kernel function that keeps no intermediate; the backward pass computes each chunk again."""

    @staticmethod
    def forward(
        ctx: Any, coefficients_H8N: Tensor, state_HN2: Tensor, nodes: Nodes, taps: int | None
    ) -> Tensor:
        full = 2 * (len(nodes.plus) - 1)
        ctx.nodes, ctx.full, g = nodes, full, 2 * nodes.plus
        ctx.save_for_backward(coefficients_H8N, state_HN2)
        length = full if taps is None else min(taps, full)
        kernel_HT = coefficients_H8N.new_empty(len(state_HN2), length)
        for group in _groups(state_HN2, nodes):
            spectra = []
            for part in group:
                inverse = _inverse_denominators(state_HN2[part], nodes)
                T00, T01, T10, T11 = _terms(coefficients_H8N[part], inverse, nodes)
                spectra.append(4 * (T00 - T01 * (g * T10) / (1 + g * T11)))
            taps_gT = torch.fft.irfft(torch.cat(spectra), n=full)
            kernel_HT[group[0].start : group[-1].stop] = taps_gT[:, :length]
        return kernel_HT

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient_HT: Tensor) -> tuple[Tensor | None, ...]:
        coefficients_H8N, state_HN2 = ctx.saved_tensors
        nodes: Nodes = ctx.nodes
        to_coefficients, to_state = torch.empty_like(coefficients_H8N), torch.empty_like(state_HN2)
        for group in _groups(state_HN2, nodes):
            start, stop = group[0].start, group[-1].stop
            to_spectra = _irfft_backward(gradient_HT[start:stop], ctx.full)
            for part in group:
                inverse = _inverse_denominators(state_HN2[part], nodes)
                coefficients = coefficients_H8N[part]
                to_spectrum = to_spectra[part.start - start : part.stop - start]
                to_sums = _sums_backward(to_spectrum, _terms(coefficients, inverse, nodes), nodes)
                to_coefficients[part] = torch.bmm(to_sums, inverse.mT)
                # d(1/den) = -(1/den)² d(den), and den is linear in the state's two numbers.
                to_inverse = _complex(torch.bmm(coefficients.mT, to_sums))
                to_den = to_inverse.mul_(_complex(inverse).square_().conj())
                to_state[part] = _parts(to_den) @ nodes.factors.mT
        return to_coefficients, to_state.neg_(), None, None


def _irfft_backward(gradient_hT: Tensor, full: int) -> Tensor:
    """Compute the gradient of a spectrum, (h, F): inner frequencies count twice."""
    to_spectrum: Tensor = torch.fft.rfft(gradient_hT, n=full) * (2 / full)
    to_spectrum[:, 0] /= 2
    to_spectrum[:, -1] /= 2
    return to_spectrum


def _sums_backward(to_spectrum_hF: Tensor, terms: tuple[Tensor, ...], nodes: Nodes) -> Tensor:
    """Compute the gradient of the eight sums, (h, 8, 2F) parts."""
    _, T01, T10, T11 = terms
    g = 2 * nodes.plus
    scale = g / (1 + g * T11)
    X, Y = (T10 * scale).neg_(), (T01 * scale).neg_()
    partial_h4F = torch.stack([torch.ones_like(X), X, Y, X * Y], dim=1)
    to_terms = partial_h4F.conj() * (4 * to_spectrum_hF)[:, None]
    to_P, to_Q = to_terms * nodes.minus.conj(), to_terms * nodes.plus.conj()
    return _parts(torch.cat([to_P, to_Q.neg_()], dim=1))
