"""The long causal convolution by FFT, a chunk of channels at a time.

Shape suffixes: B batch, L steps, H channels, T taps, F frequencies.

Source: S4 (Gu, Goel and Ré, 2022), section 2.4.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ..precision import no_autocast, state_dtype
from .chunks import for_device

# Numbers of one chunk's padded signal: large enough for the FFT's threads, and small
# beside the sequence itself.
CHUNK_ELEMENTS = 1 << 20
# FFT lengths are these times a power of two: no prime above 5, at most a fifth longer than asked.
STEPS = (16, 18, 20, 24, 27, 30)


def fft_length(length: int) -> int:
    """Return a fast FFT length of at least 2 · length, from a coarse grid.

    All sequences up to half of it share one spectrum: sequences of a few hundred lengths need a few
    dozen spectra.
    """
    scale = 2
    while 2 * length > 32 * scale:
        scale *= 2
    return next(s * scale for s in (*STEPS, 32) if s * scale >= 2 * length)


def spectrum(kernel_HT: Tensor, n: int) -> Tensor:
    """Transform a kernel padded to n, (H, F), in chunks so that no padded copy is kept."""
    size = max(1, for_device(CHUNK_ELEMENTS, kernel_HT.device) // n)
    parts = torch.split(kernel_HT, size)
    return torch.cat([torch.fft.rfft(part, n=n) for part in parts])


def convolve(u_BLH: Tensor, kernel_HT: Tensor | None, spectrum_HF: Tensor | None, n: int) -> Tensor:
    """Compute y[l] = Σ_t k[t] u[l - t], (B, L, H); taps past the sequence's end have no effect.

    Runs in float32, or float64 for float64, outside autocast.

    Args:
        kernel_HT: the kernel if it needs a gradient, else None.
        spectrum_HF: its `spectrum`, if there is no `kernel_HT`.
        n: FFT length; at least L plus the taps, less one.
    """
    with no_autocast(u_BLH):
        u_BLH = u_BLH.to(state_dtype(u_BLH))
        y_BLH = _Convolution.apply(u_BLH, kernel_HT, spectrum_HF, n)  # type: ignore[no-untyped-call]
        return cast(Tensor, y_BLH)


def _chunks(u_BLH: Tensor, n: int) -> list[slice]:
    """Slice the channels into chunks."""
    batch, _, channels = u_BLH.shape
    elements = for_device(CHUNK_ELEMENTS, u_BLH.device)
    size = max(1, min(channels, elements // (n * max(1, batch))))
    return [slice(start, start + size) for start in range(0, channels, size)]


def _forward_fft(u_BLH: Tensor, part: slice, n: int) -> Tensor:
    """Transform some channels of the signal: (B, h, F)."""
    return cast(Tensor, torch.fft.rfft(u_BLH[:, :, part].mT.contiguous(), n=n))


class _Convolution(torch.autograd.Function):
    """Convolution that keeps signal and kernel, and transforms again in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, u_BLH: Tensor, kernel_HT: Tensor | None, spectrum_HF: Tensor | None, n: int
    ) -> Tensor:
        length = u_BLH.shape[1]
        y_BLH = torch.empty_like(u_BLH, memory_format=torch.contiguous_format)
        for part in _chunks(u_BLH, n):
            k_hF = _kernel_fft(kernel_HT, spectrum_HF, part, n)
            product = _forward_fft(u_BLH, part, n).mul_(k_hF)
            y_BLH[:, :, part] = torch.fft.irfft(product, n=n)[..., :length].mT
        ctx.n = n
        # The signal is only needed for the kernel's gradient.
        ctx.save_for_backward(u_BLH if kernel_HT is not None else None, kernel_HT, spectrum_HF)
        return y_BLH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient_BLH: Tensor) -> tuple[Tensor | None, ...]:
        u_BLH, kernel_HT, spectrum_HF = ctx.saved_tensors
        n, length = ctx.n, gradient_BLH.shape[1]
        to_u = torch.empty_like(gradient_BLH, memory_format=torch.contiguous_format)
        to_k = None if kernel_HT is None else torch.empty_like(kernel_HT)
        for part in _chunks(gradient_BLH, n):
            g_BhF = _forward_fft(gradient_BLH, part, n)
            if to_k is not None:
                # The kernel's gradient is the correlation of signal and gradient, over the batch.
                cross_hF = (_forward_fft(u_BLH, part, n).conj() * g_BhF).sum(0)
                to_k[part] = torch.fft.irfft(cross_hF, n=n)[:, : to_k.shape[1]]
            # A conjugated spectrum reverses the kernel in time: the transposed convolution.
            product = g_BhF.mul_(_kernel_fft(kernel_HT, spectrum_HF, part, n).conj())
            to_u[:, :, part] = torch.fft.irfft(product, n=n)[..., :length].mT
        return to_u, to_k, None, None


def _kernel_fft(
    kernel_HT: Tensor | None, spectrum_HF: Tensor | None, part: slice, n: int
) -> Tensor:
    """Return the spectrum of some channels, (h, F), from whichever is given."""
    if kernel_HT is not None:
        return cast(Tensor, torch.fft.rfft(kernel_HT[part], n=n))
    assert spectrum_HF is not None
    return spectrum_HF[part]
