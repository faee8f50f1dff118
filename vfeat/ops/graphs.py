"""CUDA graphs of a whole forward pass, exported beside the kernels that it contains."""

from vfeat.kernels.gpu.graphs import Graphed, GraphWarning, graph_sizes, wanted

__all__ = ["GraphWarning", "Graphed", "graph_sizes", "wanted"]
