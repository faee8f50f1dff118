"""Arrays kept between epochs: in memory, then in a scratch file, each up to its budget.

An array is admitted while there is room and then stays: where every epoch reads every array once,
no other choice would be read more often.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Hashable
from dataclasses import dataclass
from typing import IO, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class _Filed:
    """Place, shape and type of an array in the scratch file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class BudgetCache(Generic[K]):
    """Arrays by key; used from one thread.

    Args:
        memory_bytes, scratch_bytes: the budgets. The scratch file has no name in its folder
            (TMPDIR), is written as it fills, and is gone with the process.
    """

    def __init__(self, memory_bytes: int, scratch_bytes: int) -> None:
        self._memory_room, self._scratch_room = memory_bytes, scratch_bytes
        self._memory: dict[K, Array] = {}
        self._filed: dict[K, _Filed] = {}
        self._scratch: _Scratch | None = None

    def __len__(self) -> int:
        return len(self._memory) + len(self._filed)

    def has_room(self, size_bytes: int) -> bool:
        """Return whether an array of that size would be kept."""
        return size_bytes <= max(self._memory_room, self._scratch_room)

    def get(self, key: K) -> Array | None:
        """Return the array, not to be written to; None if it is not kept.

        An array of the scratch file is read where it is used: a slice of it reads that slice only.
        """
        if key in self._memory:
            return self._memory[key]
        if key not in self._filed or self._scratch is None:
            return None
        return self._scratch.read(self._filed[key])

    def put(self, key: K, array: Array) -> bool:
        """Keep an array where there is room, and return whether there was.

        The array is the cache's from now on.
        """
        if array.nbytes <= self._memory_room:
            self._memory[key] = array
            self._memory_room -= array.nbytes
            return True
        if array.nbytes > self._scratch_room:
            return False
        self._scratch = self._scratch or _Scratch(self._scratch_room)
        filed = self._scratch.append(array)
        if filed is None:  # the disk is full before the budget is
            self._scratch_room = 0
            return False
        self._filed[key] = filed
        self._scratch_room -= array.nbytes
        return True


class _Scratch:
    """A file of arrays, mapped into memory: the system's page cache serves what it can.

    Written through the file and not through the map, because a full disk is an error there
    and the end of the process here.
    """

    def __init__(self, size_bytes: int) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="vfeat-cache-")  # noqa: SIM115
        os.ftruncate(self._file.fileno(), size_bytes)  # holes: nothing is taken yet
        self._map = mmap.mmap(self._file.fileno(), size_bytes, access=mmap.ACCESS_READ)
        self._end = 0

    def append(self, array: Array) -> _Filed | None:
        """Write an array behind the others; None when there is no room left on the disk."""
        content = memoryview(np.ascontiguousarray(array).tobytes())
        offset, done = self._end, 0
        try:
            while done < len(content):
                done += os.pwrite(self._file.fileno(), content[done:], offset + done)
        except OSError:
            return None
        self._end += done
        return _Filed(offset, array.shape, array.dtype)

    def read(self, filed: _Filed) -> Array:
        """Return an array without a copy."""
        count = math.prod(filed.shape)
        return np.frombuffer(self._map, filed.dtype, count, filed.offset).reshape(filed.shape)
