"""Decoded clips kept between epochs: in memory, then in a scratch file, each up to its budget.

A clip is admitted while there is room and then stays: no other choice would be read more often
where every epoch reads every clip once. All clips are uint8 of one shape.

Shape legend: V crops, T frames, S side in pixels.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class ClipKey:
    """Which clip: row of the list, clip of the grid, crops of a frame."""

    row: int
    clip_index: int
    crops: int


class ClipCache:
    """Clips by key; used from one thread.

    Args:
        memory_bytes, scratch_bytes: the budgets. The scratch file has no name in its folder
            (TMPDIR), is written as it fills, and is gone with the process.
    """

    def __init__(self, memory_bytes: int, scratch_bytes: int) -> None:
        self._memory_room, self._scratch_room = memory_bytes, scratch_bytes
        self._memory: dict[ClipKey, U8] = {}
        self._filed: dict[ClipKey, tuple[int, Shape]] = {}
        self._scratch: _Scratch | None = None

    def __len__(self) -> int:
        return len(self._memory) + len(self._filed)

    def get(self, key: ClipKey) -> U8 | None:
        """The clip VTSSC, not to be written to; None if it is not kept."""
        if key in self._memory:
            return self._memory[key]
        if key not in self._filed or self._scratch is None:
            return None
        return self._scratch.read(*self._filed[key])

    def put(self, key: ClipKey, clip: U8) -> None:
        """Keep a clip, where there is room; the array is the cache's from now on."""
        if clip.nbytes <= self._memory_room:
            self._memory[key] = clip
            self._memory_room -= clip.nbytes
        elif clip.nbytes <= self._scratch_room:
            self._scratch = self._scratch or _Scratch(self._scratch_room)
            offset = self._scratch.append(clip)
            if offset is None:  # the disk is full before the budget is
                self._scratch_room = 0
            else:
                self._filed[key] = (offset, clip.shape)
                self._scratch_room -= clip.nbytes


class _Scratch:
    """A file of clips, mapped into memory: the system's page cache serves what it can.

    Written through the file and not through the map, because a full disk is an error there
    and the end of the process here.
    """

    def __init__(self, size_bytes: int) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="vfeat-clips-")  # noqa: SIM115
        os.ftruncate(self._file.fileno(), size_bytes)  # holes: nothing is taken yet
        self._map = mmap.mmap(self._file.fileno(), size_bytes, access=mmap.ACCESS_READ)
        self._end = 0

    def append(self, clip: U8) -> int | None:
        """The clip's offset; None when there is no room left on the disk."""
        content = memoryview(np.ascontiguousarray(clip).tobytes())
        offset, done = self._end, 0
        try:
            while done < len(content):
                done += os.pwrite(self._file.fileno(), content[done:], offset + done)
        except OSError:
            return None
        self._end += done
        return offset

    def read(self, offset: int, shape: Shape) -> U8:
        """The clip at an offset, without a copy."""
        count = int(np.prod(shape))
        return np.frombuffer(self._map, np.uint8, count, offset).reshape(shape)
