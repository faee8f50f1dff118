"""Devices that decode on the CPU into memory that two processes share, behind a GPU's interface.

They stand where `vfeat.media.devices.cuda:CudaDevice` stands; everything else is the real thing.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from pathlib import Path

import numpy as np
import torch
from av.video.frame import VideoFrame
from torch import Tensor

from vfeat.media.devices.base import HANDLE_BYTES, DeviceFailed
from vfeat.media.devices.surface import COLORSPACES, Surface

HOST = "tests.media.fake_device:HostDevice"
FUSSY = "tests.media.fake_device:FussyDevice"
BLIND = "tests.media.fake_device:BlindDevice"
FAILING = "tests.media.fake_device:FailingDevice"
BROKEN = "tests.media.fake_device:BrokenDevice"
FOLDER = Path(tempfile.gettempdir()) / f"vfeat-fake-device-{os.getuid()}"


class FileMemory:
    """Memory that a name opens; both go with the last tensor that shows it."""

    def __init__(self, size_bytes: int) -> None:
        FOLDER.mkdir(exist_ok=True)
        number, path = tempfile.mkstemp(dir=FOLDER)
        os.ftruncate(number, size_bytes)
        self.handle = os.path.basename(path).encode().ljust(HANDLE_BYTES, b"\0")
        memory = mapped(number, size_bytes)
        weakref.finalize(memory, os.unlink, path)
        self.bytes_n = torch.frombuffer(memory, dtype=torch.uint8)


def mapped(number: int, size_bytes: int) -> mmap.mmap:
    memory = mmap.mmap(number, size_bytes)
    os.close(number)
    return memory


class HostDevice:
    """Its engine takes 8 bits, 4:2:0 and even sizes; of 160 pixels of width it has no surface."""

    readable: tuple[str, ...] = ()
    writable = (str(FOLDER),)

    def obstacle(self) -> str | None:
        return None

    def allocate(self, size_bytes: int) -> FileMemory:
        return FileMemory(size_bytes)

    def start(self) -> None:
        pass

    def open(self, handle: bytes, size_bytes: int) -> Tensor:
        number = os.open(FOLDER / handle.rstrip(b"\0").decode(), os.O_RDWR)
        return torch.frombuffer(mapped(number, size_bytes), dtype=torch.uint8)

    def finish(self) -> None:
        pass

    def acceleration(self) -> None:
        return None

    def has_decoded(self, frame: VideoFrame) -> bool:
        even = frame.width % 2 == 0 and frame.height % 2 == 0
        return even and frame.format.name in ("yuv420p", "yuvj420p")

    def surface(self, frame: VideoFrame) -> Surface | None:
        if frame.width == 160 or int(frame.colorspace) not in COLORSPACES:
            return None
        luma, u, v = (
            np.asarray(memoryview(plane)).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in frame.planes
        )
        return Surface(
            torch.from_numpy(luma.copy()),
            torch.from_numpy(np.stack([u, v], -1)),
            int(frame.colorspace),
            int(frame.color_range),
            frame.interlaced_frame,
        )


class BlindDevice(HostDevice):
    """Its engine takes nothing."""

    def has_decoded(self, frame: VideoFrame) -> bool:
        return False


class FailingDevice(HostDevice):
    """Starts, and does nothing after that."""

    def surface(self, frame: VideoFrame) -> Surface | None:
        raise RuntimeError("no session")


class FussyDevice(HostDevice):
    """Starts only where it may read what it likes."""

    def start(self) -> None:
        try:
            os.listdir("/")
        except OSError as error:
            raise DeviceFailed(f"cannot read what it likes: {error}") from error


class BrokenDevice(HostDevice):
    """Never starts."""

    def start(self) -> None:
        raise DeviceFailed("out of memory (2)")
