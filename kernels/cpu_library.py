"""The compiled library: found, checked and loaded once; its structs as ctypes.

Mirrors csrc/vfeat_cpu.h. A call releases Python's lock.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

from torch import Tensor

from .build import LIBRARY, SOURCES, digest

ISA_VARIABLE = "VFEAT_CPU_ISA"

_INSTALL = "install g++ and run pip install again, or python -m vfeat.kernels.build in a checkout."


class LibraryMissing(Exception):
    """The library cannot be used; the message contains the reason and the remedy."""


class Direction(ctypes.Structure):
    """`vfeat_direction`: pointers to one direction's weights."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in (
            "conv_weight_EW", "conv_bias_E", "x_proj", "dt_weight_ER", "dt_bias_E", "A_log_EN",
            "D_E",
        )
    ]  # fmt: skip


class Block(ctypes.Structure):
    """`vfeat_block`: the fused block, forward."""

    _fields_ = [
        *((n, ctypes.c_long) for n in ("batch", "length", "channels", "rank", "threads")),
        ("xz_BL2E", ctypes.c_void_p),
        ("direction", Direction * 2),
        ("y_BLE", ctypes.c_void_p),
        ("states", ctypes.c_void_p),
    ]


class Conv(ctypes.Structure):
    """`vfeat_conv`: the convolution, both ways."""

    _fields_ = [
        *((n, ctypes.c_long) for n in ("batch", "length", "channels", "threads", "x_step")),
        *((n, ctypes.c_int) for n in ("silu", "reverse")),
        *((n, ctypes.c_void_p) for n in ("x", "weight_EW", "bias_E", "y_BLE", "grad_y_BLE")),
        ("accumulate", ctypes.c_int),
        ("grad_x_step", ctypes.c_long),
        *((n, ctypes.c_void_p) for n in ("grad_x", "grad_weight_BEW", "grad_bias_BE")),
    ]


class Scan(ctypes.Structure):
    """`vfeat_scan`: the scan with given time steps, both ways."""

    _fields_ = [
        *((n, ctypes.c_long) for n in ("batch", "length", "channels", "threads")),
        *((n, ctypes.c_int) for n in ("softplus", "reverse")),
        *((n, ctypes.c_void_p) for n in ("u_BLE", "delta_BLE", "A_EN")),
        ("logarithmic", ctypes.c_int),
        *((n, ctypes.c_void_p) for n in ("B", "C")),
        ("bc_step", ctypes.c_long),
        *((n, ctypes.c_void_p) for n in ("D_E", "z")),
        ("z_step", ctypes.c_long),
        *(
            (n, ctypes.c_void_p)
            for n in ("y_BLE", "states", "last_BEN", "grad_y_BLE", "grad_last_BEN")
        ),
        ("accumulate", ctypes.c_int),
        *((n, ctypes.c_void_p) for n in ("grad_u_BLE", "grad_delta_BLE", "grad_z")),
        ("grad_z_step", ctypes.c_long),
        *((n, ctypes.c_void_p) for n in ("grad_bc", "grad_A_BEN", "grad_D_BE")),
    ]


class Norm(ctypes.Structure):
    """`vfeat_norm`: add and RMSNorm, both ways."""

    _fields_ = [
        *((n, ctypes.c_long) for n in ("tokens", "width", "threads")),
        ("epsilon", ctypes.c_float),
        *(
            (n, ctypes.c_void_p)
            for n in (
                "hidden", "residual", "weight", "stream", "normed", "grad_normed", "grad_stream",
                "grad_hidden", "grad_weight",
            )
        ),
    ]  # fmt: skip


class Library:
    """Functions of the loaded library.

    Attributes:
        chunk: tokens from one kept state to the next.
    """

    def __init__(self, handle: ctypes.CDLL) -> None:
        self._handle = handle
        handle.vfeat_isa.restype = handle.vfeat_source.restype = ctypes.c_char_p
        handle.vfeat_chunk.restype = ctypes.c_long
        handle.vfeat_norm_parts.restype = ctypes.c_long
        handle.vfeat_norm_parts.argtypes = [ctypes.c_long]
        self.chunk = int(handle.vfeat_chunk())

    @property
    def isa(self) -> str:
        """Instruction set in use."""
        return str(self._handle.vfeat_isa().decode())

    def use_isa(self, name: str) -> bool:
        """Switch to that instruction set; return False if this machine or library lacks it."""
        return bool(self._handle.vfeat_use_isa(name.encode()))

    def norm_parts(self, tokens: int) -> int:
        """Return the number of partial sums in the norm's backward pass over `tokens` tokens."""
        return int(self._handle.vfeat_norm_parts(tokens))

    def call(self, name: str, arguments: ctypes.Structure) -> None:
        """Run `vfeat_<name>`."""
        function = getattr(self._handle, f"vfeat_{name}")
        function.restype = None
        function(ctypes.byref(arguments))


def pointer(tensor: Tensor | None) -> int | None:
    """Return the address of a tensor's data; None for None."""
    return None if tensor is None else tensor.data_ptr()


@cache
def load() -> Library:
    """Load the library, with the instruction set that VFEAT_CPU_ISA names or the best.

    Raises:
        LibraryMissing: there is none, it was built from other sources, or the set cannot run.
    """
    if not LIBRARY.exists():
        raise LibraryMissing(f"no compiled library: {_INSTALL}")
    try:
        handle = ctypes.CDLL(str(LIBRARY))
        handle.vfeat_source.restype = ctypes.c_char_p
        source = handle.vfeat_source().decode()
    except (OSError, AttributeError) as error:
        raise LibraryMissing(f"the compiled library does not load ({error}): {_INSTALL}") from error
    if SOURCES.is_dir() and source != digest():
        raise LibraryMissing(f"the compiled library is older than its sources: {_INSTALL}")
    library = Library(handle)
    wanted = os.environ.get(ISA_VARIABLE)
    if wanted and not library.use_isa(wanted):
        raise LibraryMissing(
            f"{ISA_VARIABLE}={wanted}: no such instruction set here; the best is {library.isa}."
        )
    return library


@cache
def why_missing() -> str | None:
    """Return a sentence on why the library cannot be used; None when it can."""
    try:
        load()
    except LibraryMissing as error:
        return str(error)
    return None
