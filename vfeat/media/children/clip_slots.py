"""Shared memory for clips: a few slots, written by a child, read by its parent.

An anonymous file that only the two processes hold: nothing has a name, so nothing is
left behind whoever dies.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile

import numpy as np
import numpy.typing as npt

from vfeat.job.recipe import ClipSpec, FrameSpec

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
    os.ftruncate(fd, slots * _slot_bytes(shape))
    if hasattr(os, "memfd_create"):
        # A child that cut it short would end its parent at the next access.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


def _slot_bytes(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


class Ring:
    """The slots, mapped into this process; views keep the mapping alive."""

    def __init__(self, fd: int, slots: int, shape: Shape) -> None:
        memory = mmap.mmap(fd, slots * _slot_bytes(shape))
        self._slots: U8 = np.frombuffer(memory, dtype=np.uint8).reshape(slots, *shape)

    def slot(self, index: int) -> U8:
        """Return a writable view of one slot, VTHWC."""
        slot: U8 = self._slots[index]
        return slot

    def view(self, index: int) -> U8:
        """Return a read-only view of one slot, VTHWC."""
        view: U8 = self._slots[index].view()
        view.flags.writeable = False
        return view
