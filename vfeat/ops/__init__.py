"""The only entry to the kernels; the back-end is chosen here."""

from vfeat.kernels.pixels import Patch, cut
from vfeat.kernels.weights import DirectionWeights
from vfeat.ops.backend import Backend
from vfeat.ops.functional import (
    add_rms_norm,
    bidirectional_mamba,
    causal_conv1d,
    linear,
    pixel_rows,
    selective_scan,
)
from vfeat.ops.registry import BackendStatus, choose, describe_backends, register

__all__ = [
    "Backend",
    "BackendStatus",
    "DirectionWeights",
    "Patch",
    "add_rms_norm",
    "bidirectional_mamba",
    "causal_conv1d",
    "choose",
    "cut",
    "describe_backends",
    "linear",
    "pixel_rows",
    "register",
    "selective_scan",
]
