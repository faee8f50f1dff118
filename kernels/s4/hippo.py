"""HiPPO-LegS and its NPLR form, in float64 numpy.

Shape suffixes: M = 2N states of the real system, N of them kept (one of each conjugate
pair).

Sources: Gu et al., "HiPPO: Recurrent Memory with Optimal Polynomial Projections", 2020,
theorem 2; Gu, Goel and Ré, "Efficiently Modeling Long Sequences with Structured State
Spaces" (S4), 2022, theorem 1 and appendix C.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


class InitialNplr(NamedTuple):
    """A = V (diag(w) - P P*) V*, B' = V B, one of each conjugate pair."""

    w_N: Complex
    P_N: Complex
    B_N: Complex


def legs(states: int) -> tuple[Real, Real]:
    """Build A (M, M) and B (M) of HiPPO-LegS: A[n, k] = -sqrt((2n+1)(2k+1)) below the diagonal."""
    B_M = np.sqrt(2 * np.arange(states, dtype=np.float64) + 1)
    A_MM = -np.tril(np.outer(B_M, B_M), -1) - np.diag(np.arange(states) + 1.0)
    return A_MM, B_M


def initial_nplr(states: int) -> InitialNplr:
    """Decompose HiPPO-LegS as normal plus low rank.

    With p = sqrt(n + 1/2), A + p p^T is -1/2 I plus a skew-symmetric matrix, so an orthonormal V
    diagonalises it exactly: no general eigen-solver is needed.

    Args:
        states: M, even.
    """
    A_MM, B_M = legs(states)
    P_M = np.sqrt(np.arange(states) + 0.5)
    skew_MM = A_MM + np.outer(P_M, P_M) + 0.5 * np.eye(states)
    frequency_M, V_MM = np.linalg.eigh(np.asarray(-1j * skew_MM, np.complex128))
    kept = np.argsort(-frequency_M)[: states // 2]  # positive frequencies, the highest first
    V_MN: Complex = np.asarray(V_MM[:, kept], np.complex128)
    P_N, B_N = (V_MN.conj().T @ vector.astype(np.complex128) for vector in (P_M, B_M))
    return InitialNplr(-0.5 + 1j * frequency_M[kept], P_N, B_N)
