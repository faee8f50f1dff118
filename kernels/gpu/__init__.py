"""Fused kernels for NVIDIA GPUs in Triton; `backend` is what `vfeat.ops` registers."""
