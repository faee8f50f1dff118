"""Calls of NVIDIA's driver that torch does not offer: memory that two processes share.

All of them act on the primary context of the first visible GPU, which is torch's.
"""

from __future__ import annotations

import ctypes

from vfeat.media.devices.base import HANDLE_BYTES, DeviceFailed

# A context that waits without spinning. FFmpeg refuses a primary context without this flag.
_BLOCKING_SYNC = 4
_LAZY_PEER_ACCESS = 1
# Smaller allocations share a block, and a handle opens the whole block.
_BLOCK_BYTES = 2 << 20


class _Handle(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_ubyte * HANDLE_BYTES),)


class Driver:
    """The driver's library in this process."""

    def __init__(self, *, for_ffmpeg: bool = False) -> None:
        """Load it and hold the primary context.

        Args:
            for_ffmpeg: create the context as FFmpeg expects it; before torch uses it.

        Raises:
            DeviceFailed: there is no driver or no GPU.
        """
        try:
            self._library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise DeviceFailed(f"no NVIDIA driver is installed ({error})") from error
        device, self._context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuInit", ctypes.c_uint(0))
        self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        if for_ffmpeg:
            self._call("cuDevicePrimaryCtxSetFlags_v2", device, ctypes.c_uint(_BLOCKING_SYNC))
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)

    def allocate(self, size_bytes: int) -> int:
        """Allocate device memory in blocks of its own; return its address."""
        size = -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
        address = ctypes.c_uint64()
        self._enter()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def free(self, address: int) -> None:
        """Free what `allocate` has returned."""
        self._enter()
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def export(self, address: int) -> bytes:
        """Return the handle by which another process opens an allocation."""
        handle = _Handle()
        self._enter()
        self._call("cuIpcGetMemHandle", ctypes.byref(handle), ctypes.c_uint64(address))
        return bytes(handle.reserved)

    def open(self, handle: bytes) -> int:
        """Map another process's allocation into this one; return its address here."""
        if len(handle) != HANDLE_BYTES:
            raise DeviceFailed(f"a handle of {len(handle)} bytes, not {HANDLE_BYTES}")
        address = ctypes.c_uint64()
        self._enter()
        self._call(
            "cuIpcOpenMemHandle_v2", ctypes.byref(address), _Handle.from_buffer_copy(handle),
            ctypes.c_uint(_LAZY_PEER_ACCESS),
        )  # fmt: skip
        return address.value

    def _enter(self) -> None:
        """Make the context that of this thread."""
        self._call("cuCtxSetCurrent", self._context)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            words = ctypes.c_char_p()
            self._library.cuGetErrorString(status, ctypes.byref(words))
            text = (words.value or b"unknown error").decode(errors="replace")
            raise DeviceFailed(f"{name}: {text} ({status})")
