"""A set of video ids, to be searched for millions of others."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vfeat.corpus.ids import ID, Ids

_BITS = 20  # of an id: they rule out most ids that the set does not hold
_REST = np.uint64(64 - _BITS)


class SortedIds:
    """Sorted ids, 16 bytes each.

    Attributes:
        ids: sorted, each once.
    """

    def __init__(self, ids: Ids) -> None:
        self._take(np.sort(ids.astype(ID, copy=False)))

    def _take(self, ids: Ids) -> None:
        again = ids[1:] == ids[:-1]
        self.ids: Ids = ids[np.append(True, ~again)] if again.any() else ids
        self._high = _high(self.ids)  # as numbers, which are faster to search than bytes
        self._starts = np.zeros(1 << _BITS, np.bool_)
        self._starts[self._high >> _REST] = True

    @classmethod
    def union(cls, parts: Iterable[Ids]) -> SortedIds:
        """Return the set of all ids of some arrays."""
        every: Ids = np.concatenate([np.empty(0, ID), *parts])
        every.sort()  # in place: there may be ten million
        found = cls.__new__(cls)
        found._take(every)
        return found

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, ids: Ids) -> SortedIds:
        """Return the set without some ids."""
        return SortedIds(self.ids[~SortedIds(ids).contains(self.ids)]) if len(ids) else self

    def contains(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Return for each id whether the set holds it."""
        high = _high(ids)
        found: npt.NDArray[np.bool_] = self._starts[high >> _REST]
        (candidates,) = found.nonzero()
        if not len(candidates):
            return found
        candidates = candidates[np.argsort(high[candidates])]  # neighbours are searched together
        place = np.searchsorted(self._high, high[candidates])
        place = np.minimum(place, len(self.ids) - 1)
        same = self.ids[place] == ids[candidates]
        # Another id may have the same first half.
        (unsure,) = (~same & (self._high[place] == high[candidates])).nonzero()
        if len(unsure):
            exact = ids[candidates[unsure]]
            place = np.minimum(np.searchsorted(self.ids, exact), len(self.ids) - 1)
            same[unsure] = self.ids[place] == exact
        found[candidates] = same
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


def _high(ids: Ids) -> npt.NDArray[np.uint64]:
    """Return the first half of each id as a number; numbers are ordered as ids are."""
    halves = np.frombuffer(np.ascontiguousarray(ids, ID).tobytes(), ">u8")
    return halves[::2].astype(np.uint64)
