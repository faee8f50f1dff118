"""S4's kernels equal dense state spaces, at odd lengths, in chunks and doubled."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.kernels.conftest import relative
from vfeat.kernels.s4 import (
    DiagonalWeights,
    NplrWeights,
    diagonal_kernel,
    doubled,
    fft_nodes,
    hippo,
    initial_nplr,
    nplr_kernel,
    reference,
    resolvent,
)

# Largest relative difference from the reference in float64.
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}


def random_weights(
    channels: int, states: int = 8, dtype: torch.dtype = torch.float64, jitter: float = 0.1
) -> NplrWeights:
    """HiPPO-LegS with every parameter moved, so that P is not Q and channels differ."""
    generator = torch.Generator().manual_seed(100 * channels + states)
    half = (channels, states // 2)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.complex128)

    w, P, B = (torch.as_tensor(t) for t in initial_nplr(states))
    log_dt = torch.rand(channels, generator=generator, dtype=torch.float64) * 3 - 4
    moved = [t + jitter * normal(*half) for t in (B, P, 0 * B, P)]
    moved[2] = normal(*half)
    complex_dtype = torch.complex128 if dtype == torch.float64 else torch.complex64
    w = w + jitter * 0.1 * normal(len(w)).abs() * 1j
    return NplrWeights(log_dt.to(dtype), *(t.to(complex_dtype) for t in (w, *moved)))


def test_the_initial_values_are_hippo_legs() -> None:
    """Same transfer function B^T (s - A)^-1 B, whatever basis and phases."""
    A, B = hippo.legs(16)
    w, P, b = (np.concatenate([t, t.conj()]) for t in initial_nplr(16))
    normal_plus_low_rank = np.diag(w) - np.outer(P, P.conj())
    for s in (0.3, 1 + 2j, 40j):
        expected = B @ np.linalg.solve(s * np.eye(16) - A, B)
        found = b.conj() @ np.linalg.solve(s * np.eye(16) - normal_plus_low_rank, b)
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("length", [2, 4, 30, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("jitter", [0, 0.1], ids=["initial", "trained"])
def test_kernel_is_that_of_the_dense_system(length: int, dtype: torch.dtype, jitter: float) -> None:
    weights = random_weights(3, dtype=dtype, jitter=jitter)
    found = nplr_kernel(weights, fft_nodes(length))
    assert found.dtype == dtype
    assert relative(found, reference.dense_kernel(weights, length, length)) < TOLERANCE[dtype]


@pytest.mark.parametrize("length", [2, 3, 5, 51, 64, 129])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_kernel_is_the_official_sum(length: int, dtype: torch.dtype) -> None:
    weights = random_weights(5, dtype=dtype)
    exact = random_weights(5)
    nodes = fft_nodes(length)
    expected = reference.cauchy_kernel(exact, nodes, 2 * (1 - nodes) / (1 + nodes))
    found = nplr_kernel(weights, nodes)
    assert found.shape == (5, length - length % 2)  # one tap less at odd lengths
    assert relative(found, expected) < TOLERANCE[dtype]


def test_published_size_in_float32() -> None:
    exact = random_weights(4, states=64, jitter=0.01)
    rough = random_weights(4, states=64, jitter=0.01, dtype=torch.float32)
    expected = nplr_kernel(exact, fft_nodes(2048))
    assert relative(nplr_kernel(rough, fft_nodes(2048)), expected) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("elements", [1, 200, 10**9])
def test_chunks_change_nothing(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = NplrWeights(*(t.requires_grad_() for t in random_weights(7)))
    whole = nplr_kernel(weights, fft_nodes(20))
    expected = torch.autograd.grad(whole.square().sum(), weights)
    monkeypatch.setattr(resolvent, "CHUNK_ELEMENTS", elements)
    monkeypatch.setattr(resolvent, "GROUP_ELEMENTS", 3 * elements)
    with torch.no_grad():
        assert torch.allclose(nplr_kernel(weights, fft_nodes(20)), whole, rtol=1e-12)
    found = torch.autograd.grad(nplr_kernel(weights, fft_nodes(20)).square().sum(), weights)
    for one, other in zip(found, expected, strict=True):
        assert relative(one.abs(), other.abs()) < 1e-12


def test_a_few_taps_are_the_first_ones() -> None:
    weights = random_weights(3)
    whole = nplr_kernel(weights, fft_nodes(20))
    assert torch.equal(nplr_kernel(weights, fft_nodes(20), taps=7), whole[:, :7])
    assert torch.equal(nplr_kernel(weights, fft_nodes(20), taps=30), whole)


def test_kernel_gradients() -> None:
    weights = [t.requires_grad_() for t in random_weights(2, states=4)]

    def kernel(*given: Tensor) -> Tensor:
        return nplr_kernel(NplrWeights(*given), fft_nodes(9))

    assert torch.autograd.gradcheck(kernel, weights)


def test_gradients_of_a_few_taps() -> None:
    weights = [t.requires_grad_() for t in random_weights(2, states=4)]

    def kernel(*given: Tensor) -> Tensor:
        return nplr_kernel(NplrWeights(*given), fft_nodes(12), taps=5)

    assert torch.autograd.gradcheck(kernel, weights)


def test_states_may_differ_by_channel() -> None:
    shared = random_weights(3)
    own = shared._replace(w=shared.w.expand(3, -1))
    assert torch.equal(nplr_kernel(own, fft_nodes(20)), nplr_kernel(shared, fft_nodes(20)))


@pytest.mark.parametrize("times", [1, 2, 3])
def test_doubled_kernels_go_on(times: int) -> None:
    weights, length = random_weights(3), 10
    longer = nplr_kernel(doubled(weights, length, times), fft_nodes(length << times))
    expected = reference.dense_kernel(weights, length, length << times)
    assert relative(longer, expected) < TOLERANCE[torch.float64]
    assert relative(longer[:, :length], nplr_kernel(weights, fft_nodes(length))) < 1e-9


def test_doubling_gradients() -> None:
    weights = [t.requires_grad_() for t in random_weights(2, states=4)]

    def kernel(*given: Tensor) -> Tensor:
        return nplr_kernel(doubled(NplrWeights(*given), 5, 2), fft_nodes(20))

    assert torch.autograd.gradcheck(kernel, weights)


@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 16, 17, 50])
def test_diagonal_kernel_is_its_sum(taps: int) -> None:
    weights = random_diagonal(3)
    steps = weights.log_dt.exp()[:, None] * weights.A
    scaled = weights.C * (steps.exp() - 1) / weights.A
    times = torch.arange(taps, dtype=torch.float64)
    expected = 2 * (scaled[..., None] * (steps[..., None] * times).exp()).sum(1).real
    found = diagonal_kernel(weights, taps)
    assert found.shape == (3, taps)
    assert relative(found, expected) < 1e-12


def test_diagonal_kernel_gradients() -> None:
    weights = [t.requires_grad_() for t in random_diagonal(2)]
    assert torch.autograd.gradcheck(
        lambda *given: diagonal_kernel(DiagonalWeights(*given), 7), weights
    )


def random_diagonal(channels: int, states: int = 4) -> DiagonalWeights:
    generator = torch.Generator().manual_seed(channels)
    real = torch.rand(3, channels, states, generator=generator, dtype=torch.float64)
    A = torch.complex(-real[0] - 0.1, math.pi * states * real[1])
    C = torch.complex(real[2], real[0] - real[1])
    return DiagonalWeights(-real[0, :, 0] - 1, A, C)
