"""S4's convolution: kernels of structured state spaces, and the long convolution itself.

Part of a leaf: imports torch, numpy and its own neighbours, never vfeat.

| file | what it is |
|---|---|
| `hippo.py` | HiPPO-LegS, and its initial values in NPLR form |
| `reference.py` | dense float64 state spaces, and the official form of the kernel, plainly |
| `nplr.py` | NPLR weights to kernels |
| `resolvent.py` | the Cauchy sums behind it in chunks, with their own backward pass |
| `doubling.py` | C of a state space, processed for twice the length |
| `weights.py` | the NPLR weights of a layer |
| `diagonal.py` | S4D: diagonal weights to kernels |
| `conv.py` | FFT convolution in chunks of channels, with its own backward pass |
"""

from .conv import convolve, fft_length, spectrum
from .diagonal import DiagonalWeights, diagonal_kernel
from .doubling import doubled
from .hippo import initial_nplr
from .nplr import fft_nodes, nplr_kernel
from .weights import NplrWeights

__all__ = [
    "DiagonalWeights",
    "NplrWeights",
    "convolve",
    "diagonal_kernel",
    "doubled",
    "fft_length",
    "fft_nodes",
    "initial_nplr",
    "nplr_kernel",
    "spectrum",
]
