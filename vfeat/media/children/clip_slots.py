"""Shared memory for clips: a few slots, written by a child, read by its parent.

In main memory it is an anonymous file that only the two processes hold: nothing has a name, so
nothing is left behind whoever dies.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from vfeat.job.recipe import ClipSpec, FrameSpec
from vfeat.media.decoders.base import Pixels

U8 = npt.NDArray[np.uint8]
Shape = tuple[int, int, int, int, int]


def clip_shape(clip: ClipSpec, frame: FrameSpec) -> Shape:
    """Return the shape of one clip, VTHWC."""
    return (frame.crops, clip.num_frames, frame.size, frame.size, 3)


def create_fd(slots: int, shape: Shape) -> int:
    """Make an anonymous file for `slots` clips; return its inheritable descriptor."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("vfeat-clips", os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile(prefix="vfeat-clips-") as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, slots * slot_bytes(shape))
    if hasattr(os, "memfd_create"):
        # A child that cut it short would end its parent at the next access.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


def slot_bytes(shape: Shape) -> int:
    """Return the size of one slot."""
    return int(np.prod(shape, dtype=np.int64))


class Slots(Protocol):
    """Slots that lie in one kind of memory; views keep it allocated."""

    def write(self, index: int, pictures: Sequence[Pixels]) -> None:
        """Write a clip into a slot; it is there when this returns.

        Args:
            pictures: uint8 VHWC, one for each frame.
        """

    def view(self, index: int) -> Pixels:
        """Return a slot, VTHWC, to be read only."""


class Ring:
    """Slots in main memory, mapped into this process."""

    def __init__(self, fd: int, slots: int, shape: Shape) -> None:
        memory = mmap.mmap(fd, slots * slot_bytes(shape))
        self._slots: U8 = np.frombuffer(memory, dtype=np.uint8).reshape(slots, *shape)

    def write(self, index: int, pictures: Sequence[Pixels]) -> None:
        for position, picture in enumerate(pictures):
            np.copyto(self._slots[index, :, position], cast(U8, picture))

    def view(self, index: int) -> U8:
        view: U8 = self._slots[index].view()
        view.flags.writeable = False
        return view
