"""Features kept between epochs: in memory, then in a scratch file, each up to its budget.

A video is admitted while there is room and then stays: every epoch reads every video once, so
that no other choice would be read more often.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Steps:
    """A stretch of one video.

    Attributes:
        values_LD: zeros where nothing is.
        mask_L: True where a step is there.
    """

    values_LD: Floats
    mask_L: Bools


@dataclass(frozen=True)
class _Filed:
    """A video in the scratch file."""

    offset: int
    mask_L: Bools


class FeatureCache:
    """Whole videos by place; a stretch comes back as it went in, in the stored type.

    Args:
        dtype, width: of a step.
        memory_bytes, scratch_bytes: the budgets. The scratch file has no name in its folder
            (TMPDIR), and is gone with the process.
    """

    def __init__(
        self, dtype: npt.DTypeLike, width: int, memory_bytes: int, scratch_bytes: int
    ) -> None:
        self._dtype, self._width = np.dtype(dtype), width
        self._memory_room, self._scratch_room = memory_bytes, scratch_bytes
        self._memory: dict[int, Steps] = {}
        self._filed: dict[int, _Filed] = {}
        self._file: Any = None

    def has_room(self, steps: int) -> bool:
        """Whether a video of so many steps would be kept."""
        return self._size(steps) <= max(self._memory_room, self._scratch_room)

    def put(self, place: int, steps: Steps) -> None:
        """Keep a video, where there is room."""
        values_LD = steps.values_LD.astype(self._dtype)
        size_bytes = self._size(len(values_LD))
        if size_bytes <= self._memory_room:
            self._memory[place] = Steps(values_LD, steps.mask_L)
            self._memory_room -= size_bytes
        elif size_bytes <= self._scratch_room:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="vfeat-features-")  # noqa: SIM115
            offset = self._file.seek(0, 2)
            self._file.write(values_LD.tobytes())
            self._filed[place] = _Filed(offset, steps.mask_L)
            self._scratch_room -= size_bytes

    def get(self, place: int, first: int, end: int) -> Steps | None:
        """Steps first..end of a video, `end` excluded; None if it is not kept."""
        if place in self._memory:
            kept = self._memory[place]
            return Steps(kept.values_LD[first:end], kept.mask_L[first:end])
        if place not in self._filed:
            return None
        filed = self._filed[place]
        self._file.seek(filed.offset + self._size(first))
        content = self._file.read(self._size(end - first))
        values_LD = np.frombuffer(content, self._dtype).reshape(end - first, self._width)
        return Steps(values_LD, filed.mask_L[first:end])

    def _size(self, steps: int) -> int:
        return steps * self._width * self._dtype.itemsize
