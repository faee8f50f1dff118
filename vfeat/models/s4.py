"""S4: a state space's convolution along time for every channel, then a mix of channels.

Shape suffixes: B batch, L steps, H channels, N states (their conjugates are implied),
T kernel taps, F frequencies; a trailing 2 holds real and imaginary parts.

State-dict keys are those of ViS4mer's official repository. Source: Gu, Goel and Ré,
"Efficiently Modeling Long Sequences with Structured State Spaces", 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat import ops
from vfeat.kernels import s4
from vfeat.models.spectrum_cache import SpectrumCache, weights_version

STATES = 64  # states of the real system; N is half of it
DT_MIN, DT_MAX = 0.001, 0.1


class NplrKernel(nn.Module):
    """Kernels of HiPPO-LegS state spaces, normal plus low rank.

    `B[:, 1]` and `C[:, 1]` hold the low-rank P and Q. `C[:, 0]` is multiplied by (I - A^l_max).
    `nodes` are the FFT nodes of l_max as the checkpoint has them; `z` is kept only because the
    official code needs it.
    """

    log_dt: Tensor
    w: Tensor
    B: Tensor
    C: Tensor
    nodes: Tensor
    z: Tensor

    def __init__(self, channels: int, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        initial = s4.initial_nplr(STATES)
        w_N, P_N, B_N = (torch.as_tensor(t).to(torch.complex64) for t in initial)
        C_HN = torch.randn(channels, STATES // 2, dtype=torch.complex64)
        nodes_F = s4.fft_nodes(l_max).to(torch.complex64).to(torch.complex128)
        z_F = (2 * (1 - nodes_F) / (1 + nodes_F)).to(torch.complex64)

        def pairs(first: Tensor, second: Tensor) -> nn.Parameter:
            stacked = torch.stack([first.expand(channels, -1), second.expand(channels, -1)], 1)
            return nn.Parameter(torch.view_as_real(stacked).contiguous())

        self.log_dt = _initial_log_dt(channels)
        self.w = nn.Parameter(torch.view_as_real(w_N).clone())
        self.B = pairs(B_N, P_N)
        self.C = pairs(C_HN, P_N)
        self.register_buffer("nodes", torch.view_as_real(nodes_F).to(torch.float32))
        self.register_buffer("z", torch.view_as_real(z_F).clone())

    def doublings(self, length: int) -> int:
        """Count how often l_max must be doubled for that length, as in the official code."""
        times = 0
        while length > self.l_max << times:
            times += 1
        return times

    def forward(self, doublings: int, taps: int | None = None) -> Tensor:
        """Compute the kernel.

        Args:
            doublings: how often l_max is doubled.
            taps: number of taps to return; None for all l_max · 2^doublings.

        Returns:
            (H, T), real.
        """
        nodes_F = torch.view_as_complex(self.nodes)
        if doublings:
            nodes_F = s4.fft_nodes(self.l_max << doublings, device=self.nodes.device)
        weights = s4.doubled(self.weights(), self.l_max, doublings)
        return s4.nplr_kernel(weights, nodes_F, taps)

    def weights(self) -> s4.NplrWeights:
        """Return the parameters as complex numbers."""
        B_HN, P_HN = torch.view_as_complex(self.B).unbind(1)
        C_HN, Q_HN = torch.view_as_complex(self.C).unbind(1)
        w_N = torch.view_as_complex(self.w)
        return s4.NplrWeights(self.log_dt, w_N, B_HN, P_HN, C_HN, Q_HN)


class DiagonalKernel(nn.Module):
    """Kernels of diagonal state spaces (S4D-Lin); any length."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = STATES // 2
        C_HN = torch.randn(channels, half, dtype=torch.complex64)
        self.log_dt = _initial_log_dt(channels)
        self.C = nn.Parameter(torch.view_as_real(C_HN).clone())
        self.log_A_real = nn.Parameter(torch.full((channels, half), math.log(0.5)))
        self.A_imag = nn.Parameter((math.pi * torch.arange(half)).repeat(channels, 1))

    def doublings(self, length: int) -> int:
        """Return 0: a diagonal kernel has no fixed length."""
        return 0

    def forward(self, doublings: int, taps: int) -> Tensor:
        """Compute the kernel's first taps, (H, T)."""
        A_HN = torch.complex(-self.log_A_real.exp(), self.A_imag)
        weights = s4.DiagonalWeights(self.log_dt, A_HN, torch.view_as_complex(self.C))
        return s4.diagonal_kernel(weights, taps)


def _initial_log_dt(channels: int) -> nn.Parameter:
    """Draw time steps log-uniformly in [DT_MIN, DT_MAX]."""
    span = math.log(DT_MAX) - math.log(DT_MIN)
    return nn.Parameter(torch.rand(channels) * span + math.log(DT_MIN))


class ChannelMix(nn.Module):
    """A linear map of channels; the bias has the official shape (H, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(channels)
        self.weight = nn.Parameter(torch.empty(channels, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels, 1).uniform_(-bound, bound))

    def forward(self, x_BLH: Tensor) -> Tensor:
        """Map (B, L, H) to (B, L, H)."""
        return ops.linear(x_BLH, self.weight, self.bias[:, 0])


class S4Layer(nn.Module):
    """Convolution, GELU, dropout of whole channels, and channel mix."""

    def __init__(self, channels: int, l_max: int, dropout: float, kernel: str) -> None:
        super().__init__()
        self.D = nn.Parameter(torch.randn(channels))
        made = DiagonalKernel(channels) if kernel == "s4d" else NplrKernel(channels, l_max)
        self.kernel = nn.ModuleDict({"krylov": made})
        self.dropout = nn.Dropout1d(dropout)
        self.output_linear = ChannelMix(channels)
        self.spectra = SpectrumCache()

    def forward(self, u_BLH: Tensor, lengths_B: Sequence[int] | None = None) -> Tensor:
        """Map (B, L, H) to (B, L, H).

        Args:
            u_BLH: input sequence.
            lengths_B: number of steps of each row before padding; None if all rows are full.
        """
        return self.mix(self.convolve(u_BLH, lengths_B))

    def mix(self, y_BLH: Tensor) -> Tensor:
        """Apply the pointwise part after the convolution: GELU, dropout, linear."""
        y_BLH = F.gelu(y_BLH)
        if self.training:
            y_BLH = self.dropout(y_BLH.mT).mT
        return cast(Tensor, self.output_linear(y_BLH))

    def convolve(self, u_BLH: Tensor, lengths_B: Sequence[int] | None = None) -> Tensor:
        """Convolve with the state spaces' kernels and add the skip D u.

        Each row uses the kernel that its own length calls for, whatever it is padded to.

        Args:
            u_BLH: input sequence.
            lengths_B: number of steps of each row before padding; None if all rows are full.

        Returns:
            (B, L, H).
        """
        length = u_BLH.shape[1]
        doublings_B = [self._krylov.doublings(n) for n in lengths_B or [length]]
        # The usual case: one kernel for all rows, without copies.
        if len(set(doublings_B)) == 1:
            return self._convolve(u_BLH, doublings_B[0])
        y_BLH = torch.zeros_like(u_BLH)
        for doublings in sorted(set(doublings_B)):
            rows = [row for row, found in enumerate(doublings_B) if found == doublings]
            index = torch.tensor(rows, device=u_BLH.device)
            y_BLH = y_BLH.index_copy(0, index, self._convolve(u_BLH[index], doublings))
        return y_BLH

    def train(self, mode: bool = True) -> S4Layer:
        """Set the training mode and clear the cached spectra."""
        self.spectra.clear()
        return super().train(mode)

    @property
    def _krylov(self) -> NplrKernel | DiagonalKernel:
        return cast(NplrKernel | DiagonalKernel, self.kernel["krylov"])

    def _convolve(self, u_BLH: Tensor, doublings: int) -> Tensor:
        n = s4.fft_length(u_BLH.shape[1])
        weights = [*self._krylov.parameters(), self.D]
        if self.training or (torch.is_grad_enabled() and any(t.requires_grad for t in weights)):
            return s4.convolve(u_BLH, self.full_kernel(doublings, u_BLH.shape[1]), None, n)

        def build() -> Tensor:
            with torch.inference_mode(False), torch.no_grad():
                return s4.spectrum(self.full_kernel(doublings, n // 2), n)

        version = weights_version([*weights, *self._krylov.buffers()])
        return s4.convolve(u_BLH, None, self.spectra.get(version, (doublings, n), build), n)

    def full_kernel(self, doublings: int, taps: int) -> Tensor:
        """Return the kernel's first taps with D added to tap zero, which equals the skip D u."""
        kernel_HT = self._krylov(doublings, taps)
        return torch.cat([kernel_HT[:, :1] + self.D[:, None], kernel_HT[:, 1:]], dim=1)
