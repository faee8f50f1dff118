"""CUDA graphs of a whole pass, behind the same door as the kernels in it."""

from vfeat.kernels.gpu.graphs import Graphed, GraphWarning, wanted

__all__ = ["GraphWarning", "Graphed", "wanted"]
