"""The Cauchy sums of an NPLR kernel for a chunk of channels, forward and backward.

A sum over conjugate pairs at a node ω of the unit circle, with z = 2 (1-ω)/(1+ω), is

    Σ_n  v/(z - w) + v̄/(z - w̄)  =  2 Σ_n (z Re v - Re(v w̄)) / ((z - w)(z - w̄))

Multiplied by (1+ω)² the denominator is a polynomial that is finite everywhere, at ω = -1
too, where z is not:

    den = 4 (1-ω)² - 4 (1-ω)(1+ω) Re w + (1+ω)² |w|²

It has only two numbers of the state in it, so all denominators of a chunk are one matrix
product; the sums are another, because the four of them share the denominators.

Shape suffixes: H channels of the chunk, N states, F nodes, K rows of coefficients.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

Basis = tuple[Tensor, Tensor]


def node_basis(nodes_F: Tensor, dtype: torch.dtype) -> Basis:
    """What of the denominator depends on the node alone.

    Args:
        nodes_F: complex128.

    Returns:
        4 (1-ω)² as (2F,), and the factors of Re w and |w|² as (2, 2F); real and imaginary
        parts interleaved.
    """
    minus, plus = 1 - nodes_F, 1 + nodes_F
    constant = torch.view_as_real(4 * minus**2).flatten().to(dtype)
    factors = torch.stack([-4 * minus * plus, plus**2])
    return constant, torch.view_as_real(factors).flatten(1).to(dtype)


def resolvent_sums(coefficients_HKN: Tensor, state_HN2: Tensor, basis: Basis) -> Tensor:
    """Σ_n coefficient / den at every node, complex (H, K, F).

    Args:
        coefficients_HKN: real.
        state_HN2: Re w and |w|² of every state, w being scaled by the time step.
        basis: from `node_basis`.
    """
    sums_HKF = _ResolventSums.apply(coefficients_HKN, state_HN2, *basis)  # type: ignore[no-untyped-call]
    return cast(Tensor, sums_HKF)


def _inverse_denominators(state_HN2: Tensor, basis: Basis) -> Tensor:
    """1 / den as interleaved parts (H·N, 2F), made in one buffer."""
    constant, factors = basis
    buffer = torch.addmm(constant, state_HN2.flatten(0, 1), factors)
    _complex(buffer).reciprocal_()
    return buffer


def _complex(parts: Tensor) -> Tensor:
    """(..., 2F) interleaved parts as (..., F)."""
    return torch.view_as_complex(parts.view(*parts.shape[:-1], -1, 2))


class _ResolventSums(torch.autograd.Function):
    """Keeps the inverse denominators of its chunk, and no other intermediate."""

    @staticmethod
    def forward(
        ctx: Any, coefficients_HKN: Tensor, state_HN2: Tensor, constant: Tensor, factors: Tensor
    ) -> Tensor:
        inverse = _inverse_denominators(state_HN2, (constant, factors))
        channels, states = state_HN2.shape[:2]
        sums = torch.bmm(coefficients_HKN, inverse.view(channels, states, -1))
        if any(ctx.needs_input_grad[:2]):
            ctx.save_for_backward(coefficients_HKN, inverse, factors)
        return _complex(sums)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient_HKF: Tensor) -> tuple[Tensor | None, ...]:
        coefficients_HKN, inverse, factors = ctx.saved_tensors
        channels, _, states = coefficients_HKN.shape
        gradient = torch.view_as_real(gradient_HKF.resolve_conj().contiguous()).flatten(-2)
        to_coefficients = torch.bmm(gradient, inverse.view(channels, states, -1).mT)
        # d(1/den) = -(1/den)² d(den), and den is linear in the state's two numbers.
        to_inverse = torch.bmm(coefficients_HKN.mT, gradient).view_as(inverse)
        above = _complex(to_inverse)
        square = _complex(inverse).square().conj()
        to_den = torch.view_as_real(above.mul_(square).neg_()).flatten(1)
        return to_coefficients, (to_den @ factors.mT).view(channels, states, 2), None, None
