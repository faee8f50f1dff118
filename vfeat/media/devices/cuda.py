"""An NVIDIA GPU with its video engines, through FFmpeg and torch."""

from __future__ import annotations

import ctypes
import glob
import os
import sys
from typing import TYPE_CHECKING, Any

import torch
from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.error import FFmpegError
from torch import Tensor

from vfeat.media.devices.base import DeviceFailed
from vfeat.media.devices.driver import Driver
from vfeat.media.devices.surface import COLORSPACES, Surface

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# FFmpeg refuses torch's context by its flags, or takes it as that of this thread.
_CONTEXTS: tuple[dict[str, object], ...] = (
    {"primary_ctx": "1"}, {"primary_ctx": "0", "current_ctx": "1"},
)  # fmt: skip
_DRIVER, _VIDEO = "libcuda.so.1", "libnvcuvid.so.1"
# What the driver reads while it starts and works.
_READABLE = (
    "/proc/self", "/proc/driver", "/proc/devices", "/proc/cpuinfo", "/proc/meminfo",
    "/proc/modules", "/proc/version", "/proc/sys/vm", "/proc/sys/kernel", "/sys/devices",
    "/sys/bus", "/sys/class", "/sys/module", "/etc/nvidia", "/usr/share/nvidia",
)  # fmt: skip


class CudaMemory:
    """An allocation of its own; freed with the last tensor that shows it."""

    def __init__(self, driver: Driver, size_bytes: int) -> None:
        block = _Block(driver, driver.allocate(size_bytes), size_bytes)
        self.handle = driver.export(block.address)
        self.bytes_n: Tensor = torch.as_tensor(block, device="cuda")
        # A child must not find in it what this process has freed.
        self.bytes_n.zero_()
        torch.cuda.current_stream().synchronize()


class _Block:
    """Device memory as torch takes it without a copy; torch holds this object."""

    def __init__(
        self, driver: Driver, address: int, size_bytes: int, *, owned: bool = True
    ) -> None:
        self._driver, self.address, self._owned = driver, address, owned
        self.__cuda_array_interface__ = {
            "shape": (size_bytes,), "typestr": "|u1", "data": (address, False), "version": 2,
        }  # fmt: skip

    def __del__(self) -> None:
        if self._owned and not sys.is_finalizing():
            self._driver.free(self.address)


class CudaDevice:
    """The first GPU that this process may use; see `vfeat.media.devices.base.Device`."""

    def __init__(self) -> None:
        self._driver: Driver | None = None
        self._options = _CONTEXTS[0]

    @property
    def readable(self) -> tuple[str, ...]:
        """Folders of the driver's libraries and settings, and facts about the machine."""
        for library in (_DRIVER, _VIDEO):  # the others of the driver lie beside them
            _loads(library)
        return (*_READABLE, *_library_folders())

    @property
    def writable(self) -> tuple[str, ...]:
        """Device files of the driver."""
        return ("/dev/dxg", *sorted(glob.glob("/dev/nvidia*")))

    def obstacle(self) -> str | None:
        if "cuda" not in hwdevices_available():
            return (
                "this build of PyAV decodes without CUDA: pip install --force-reinstall "
                "--only-binary av av"
            )
        if not _loads(_DRIVER):
            return f"no NVIDIA driver is installed here ({_DRIVER} is missing)"
        if not _loads(_VIDEO):
            return (
                f"the driver's library for video ({_VIDEO}) is missing; start a container with "
                "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
            )
        if not torch.cuda.is_available():
            return "torch finds no GPU here (vfeat doctor shows more)"
        return None

    def allocate(self, size_bytes: int) -> CudaMemory:
        if self._driver is None:
            self._driver = Driver()
        return CudaMemory(self._driver, size_bytes)

    def start(self) -> None:
        self._driver = Driver(for_ffmpeg=True)
        try:
            ctypes.CDLL(_VIDEO)
            _compute()
            self._options = _context_options()
            _compute()  # FFmpeg has closed its device: the context is still there
        except (RuntimeError, OSError) as error:
            raise DeviceFailed(str(error).strip().partition("\n")[0]) from error

    def open(self, handle: bytes, size_bytes: int) -> Tensor:
        assert self._driver is not None
        block = _Block(self._driver, self._driver.open(handle), size_bytes, owned=False)
        opened: Tensor = torch.as_tensor(block, device="cuda")
        return opened

    def finish(self) -> None:
        torch.cuda.synchronize()

    def acceleration(self) -> HWAccel:
        # FFmpeg decodes into the context of torch, so that its pictures are torch's, too.
        return _acceleration(self._options)

    def has_decoded(self, frame: VideoFrame) -> bool:
        return frame.format.name == "cuda"

    def surface(self, frame: VideoFrame) -> Surface | None:
        form: Any = frame.sw_format
        if form is None or form.name != "nv12" or frame.width % 2 or frame.height % 2:
            return None
        if int(frame.colorspace) not in COLORSPACES:
            return None
        # By capsules: torch would name a stream, which PyAV refuses. Both use the default one.
        luma_HW, chroma_hw2 = (
            torch.utils.dlpack.from_dlpack(plane.__dlpack__()) for plane in frame.planes[:2]
        )
        return Surface(
            luma_HW, chroma_hw2, int(frame.colorspace), int(frame.color_range),
            frame.interlaced_frame,
        )  # fmt: skip


def _compute() -> None:
    torch.zeros(1, device="cuda").add_(1).item()


def _context_options() -> dict[str, object]:
    """Return the first options with which FFmpeg uses torch's context.

    Raises:
        DeviceFailed: it uses none.
    """
    refusals = []
    for options in _CONTEXTS:
        try:
            _acceleration(options).create(Codec("h264", "r"))
        except (FFmpegError, NotImplementedError) as error:
            refusals.append(str(error))
        else:
            return options
    raise DeviceFailed(f"FFmpeg cannot use the GPU: {'; '.join(dict.fromkeys(refusals))}")


def _acceleration(options: dict[str, object]) -> HWAccel:
    return HWAccel("cuda", allow_software_fallback=True, options=options, is_hw_owned=True)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _library_folders() -> tuple[str, ...]:
    """Return the folders in which the driver's libraries are, or may be, found."""
    searched = filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))
    folders: dict[str, None] = dict.fromkeys(searched)
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].strip()
            if "libcuda.so" in path or "libnvcuvid.so" in path:
                folders[path.rpartition("/")[0]] = None
    return tuple(folders)
