"""A set of video ids that says of millions of others which of them it holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vfeat.corpus.ids import ID, Ids

_BITS = 20  # of an id: most ids that the set does not hold are told by them


class IdSet:
    """Sorted ids, 16 bytes each.

    Attributes:
        ids: sorted, each once.
    """

    def __init__(self, ids: Ids) -> None:
        self.ids: Ids = np.unique(ids.astype(ID, copy=False))
        self._starts = np.zeros(1 << _BITS, np.bool_)
        self._starts[_starts(self.ids)] = True

    @classmethod
    def union(cls, parts: Iterable[Ids]) -> IdSet:
        """Return the set of all ids of some arrays."""
        return cls(np.concatenate([np.empty(0, ID), *parts]))

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, ids: Ids) -> IdSet:
        """Return the set without some ids."""
        return IdSet(self.ids[~IdSet(ids).contains(self.ids)]) if len(ids) else self

    def contains(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Return for each id whether the set holds it."""
        found: npt.NDArray[np.bool_] = self._starts[_starts(ids)]
        if not found.any():
            return found
        candidates = ids[found]
        place = np.searchsorted(self.ids, candidates)
        found[found] = self.ids[np.minimum(place, len(self.ids) - 1)] == candidates
        return found


def ids_of(column: pa.ChunkedArray | pa.Array) -> Ids:
    """Return a column of fixed-size binary as numpy ids."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [
        np.frombuffer(chunk.buffers()[1], ID, len(chunk), chunk.offset * ID.itemsize)
        for chunk in chunks
        if len(chunk)
    ]
    return np.concatenate([np.empty(0, ID), *parts])


def id_array(ids: Ids) -> pa.Array:
    """Return numpy ids as fixed-size binary."""
    data = pa.py_buffer(np.ascontiguousarray(ids, ID).tobytes())
    return pa.Array.from_buffers(pa.binary(ID.itemsize), len(ids), [None, data])


def _starts(ids: Ids) -> npt.NDArray[Any]:
    """Return the first bits of each id as a number."""
    raw = np.frombuffer(np.ascontiguousarray(ids, ID).tobytes(), np.uint8).reshape(-1, ID.itemsize)
    first = raw[:, :3].astype(np.uint32)
    return (first[:, 0] << 12) | (first[:, 1] << 4) | (first[:, 2] >> 4)
