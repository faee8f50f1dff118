"""What a decoder needs of a device, and the way to it by name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.video.frame import VideoFrame
    from torch import Tensor

    from vfeat.media.devices.surface import Surface

NVDEC = "nvdec"  # the decoder that uses it
CUDA = "vfeat.media.devices.cuda:CudaDevice"
HANDLE_BYTES = 64


class DeviceFailed(Exception):
    """A device does not do what is asked; the message is for a person."""


class Memory(Protocol):
    """Memory of a device that a parent has allocated and its child writes to.

    Attributes:
        handle: HANDLE_BYTES by which the child opens it.
        bytes_n: the memory, uint8; views of it keep it allocated.
    """

    @property
    def handle(self) -> bytes: ...

    @property
    def bytes_n(self) -> Tensor: ...


class Device(Protocol):
    """A device that decodes videos into its own memory.

    A parent calls `obstacle` and `allocate`; its child calls `start` once, then the rest.

    Attributes:
        readable: files and folders that it reads after the sandbox is closed.
        writable: files that it writes to then.
    """

    @property
    def readable(self) -> tuple[str, ...]: ...

    @property
    def writable(self) -> tuple[str, ...]: ...

    def obstacle(self) -> str | None:
        """Return why this machine cannot use it, with what to do; None if nothing is missing."""

    def allocate(self, size_bytes: int) -> Memory:
        """Allocate memory that a child can open.

        Raises:
            DeviceFailed: there is not enough.
        """

    def start(self) -> None:
        """Prepare this process for everything that follows.

        Raises:
            DeviceFailed: the device cannot be used from here.
        """

    def open(self, handle: bytes, size_bytes: int) -> Tensor:
        """Open memory that the parent has allocated; return it as uint8 [n].

        Raises:
            DeviceFailed: it cannot be opened.
        """

    def finish(self) -> None:
        """Wait until everything that was written to memory is there."""

    def acceleration(self) -> HWAccel | None:
        """Return what FFmpeg opens a video with, so that this device decodes it."""

    def has_decoded(self, frame: VideoFrame) -> bool:
        """Return whether the device has decoded a frame; else FFmpeg has, on the CPU."""

    def surface(self, frame: VideoFrame) -> Surface | None:
        """Return a decoded frame for conversion on the device; None if it must be copied."""


def load_device(name: str) -> Device:
    """Make the device behind `module:class`."""
    module, _, attribute = name.partition(":")
    device: Device = getattr(importlib.import_module(module), attribute)()
    return device
