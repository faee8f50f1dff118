"""Sets of millions of ids or hashes, kept in temporary files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vfeat.corpus.ids import ID
from vfeat.corpus.sorted_run import Mask, SortedRun, settle


class IdSet:
    """A set of 16-byte ids (dtype S16) or 8-byte hashes (int64).

    Keys are sorted runs: short ones in memory, longer ones in temporary files that are mapped.
    Runs of similar length are merged, so there are few. Memory of its own: less than 100 MB at
    ten million ids.

    Args:
        dtype: of the keys.
    """

    def __init__(self, dtype: npt.DTypeLike = ID) -> None:
        self._words = np.dtype(dtype).itemsize // 8
        self._runs: list[SortedRun] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, keys: npt.NDArray[Any]) -> Mask:
        """Add keys.

        Returns:
            For each whether it is new: not in the set, nor before it among these keys.

        Raises:
            StorageError: the temporary folder is full.
        """
        split = self._split(keys)
        order = split.order()
        ordered = split.take(order)
        new = ~self._contains(ordered)
        new[1:] &= ~ordered.equals_before()
        mask = np.zeros(len(keys), bool)
        mask[order[new]] = True
        if new.any():
            self._runs.append(ordered.take(new))
            settle(self._runs)
        return mask

    def contains(self, keys: npt.NDArray[Any]) -> Mask:
        """Return for each key whether it is in the set."""
        split = self._split(keys)
        order = np.argsort(split.heads)
        found = np.empty(len(keys), bool)
        found[order] = self._contains(split.take(order))
        return found

    def _contains(self, ordered: SortedRun) -> Mask:
        found = np.zeros(len(ordered), bool)
        for run in self._runs:
            found |= run.contains(ordered)
        return found

    def _split(self, keys: npt.NDArray[Any]) -> SortedRun:
        words = np.ascontiguousarray(keys).view(np.uint64).reshape(len(keys), self._words)
        return SortedRun(words[:, 0], words[:, 1] if self._words == 2 else None)
