"""The long convolution equals its definition, and its backward pass its derivative."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.kernels.conftest import relative
from vfeat.kernels.s4 import conv, convolve, fft_length, reference, spectrum
from vfeat.kernels.s4.chunks import GPU_CHUNKS, for_device


def random_signal(batch: int, length: int, channels: int, taps: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(length)
    u = torch.randn(batch, length, channels, generator=generator, dtype=torch.float64)
    return u, torch.randn(channels, taps, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("elements", [1, 10**9], ids=["channel by channel", "at once"])
@pytest.mark.parametrize("length", [1, 2, 3, 15, 16, 17, 65])
@pytest.mark.parametrize("short", [0, 1, 10])
def test_equals_its_definition(
    length: int, short: int, elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv, "CHUNK_ELEMENTS", elements)
    u, kernel = random_signal(2, length, 3, max(1, length - short))
    n, expected = fft_length(length), reference.direct_convolution(u, kernel)
    assert relative(convolve(u, kernel, None, n), expected) < 1e-12
    assert relative(convolve(u, None, spectrum(kernel, n), n), expected) < 1e-12
    assert relative(convolve(u.float(), kernel.float(), None, n), expected) < 1e-5


def test_longer_kernels_are_cut() -> None:
    """A spectrum made for the longest sequence of its FFT length serves every shorter one."""
    n = fft_length(40)
    u, kernel = random_signal(2, 33, 3, n // 2)
    expected = reference.direct_convolution(u, kernel)
    assert relative(convolve(u, None, spectrum(kernel, n), n), expected) < 1e-12


def test_gradients() -> None:
    u, kernel = random_signal(2, 7, 3, 6)
    n = fft_length(7)
    assert torch.autograd.gradcheck(
        lambda u, k: convolve(u, k, None, n), (u.requires_grad_(), kernel.requires_grad_())
    )
    fixed = spectrum(kernel.detach(), n)
    assert torch.autograd.gradcheck(lambda u: convolve(u, None, fixed, n), (u,))


def test_autocast_changes_nothing() -> None:
    u, kernel = (t.float() for t in random_signal(2, 20, 3, 20))
    outside = convolve(u, kernel, None, fft_length(20))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(convolve(u, kernel, None, fft_length(20)), outside)


def test_fft_lengths_are_fast_and_not_much_too_long() -> None:
    lengths = [*range(1, 3000), 11_820, 18_000, 100_000, 1 << 20]
    for length in lengths:
        n = fft_length(length)
        assert 2 * length <= n <= max(32, 2.5 * length)
        for prime in (2, 3, 5):
            while n % prime == 0:
                n //= prime
        assert n == 1
    assert len({fft_length(length) for length in range(256, 2048)}) <= 20


def test_a_gpu_gets_more_work_in_each_launch_than_a_cpus_cache_holds() -> None:
    assert for_device(3, torch.device("cpu")) == 3
    assert for_device(3, torch.device("cuda")) == 3 * GPU_CHUNKS
