"""Sets of millions of ids or hashes, kept in temporary files."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vfeat.corpus.ids import ID
from vfeat.storage.failures import explain

_Words = npt.NDArray[np.uint64]
_Mask = npt.NDArray[np.bool_]
_IN_MEMORY = 1 << 19  # keys of a run that stays in memory
_BLOCK = 1 << 17  # keys of each run that are merged at a time
_RATIO = 3  # a run is more than so many times as long as the next one


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
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, keys: npt.NDArray[Any]) -> _Mask:
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
            while len(self._runs) > 1 and len(self._runs[-1]) * _RATIO >= len(self._runs[-2]):
                last = self._runs.pop()
                self._runs.append(_merged(self._runs.pop(), last))
        return mask

    def contains(self, keys: npt.NDArray[Any]) -> _Mask:
        """Return for each key whether it is in the set."""
        split = self._split(keys)
        order = np.argsort(split.heads)
        found = np.empty(len(keys), bool)
        found[order] = self._contains(split.take(order))
        return found

    def _contains(self, ordered: _Run) -> _Mask:
        found = np.zeros(len(ordered), bool)
        for run in self._runs:
            found |= run.contains(ordered)
        return found

    def _split(self, keys: npt.NDArray[Any]) -> _Run:
        words = np.ascontiguousarray(keys).view(np.uint64).reshape(len(keys), self._words)
        return _Run(words[:, 0], words[:, 1] if self._words == 2 else None)


@dataclass(frozen=True)
class _Run:
    """Keys: their first 8 bytes, and the other 8 of those with 16.

    In a set, heads are sorted and no key stands twice; tails of equal heads have no order.
    """

    heads: _Words
    tails: _Words | None

    def __len__(self) -> int:
        return len(self.heads)

    def order(self) -> npt.NDArray[np.intp]:
        """Return the places of the keys in sorted order; equal ones keep their order."""
        if self.tails is None:
            return np.argsort(self.heads, kind="stable")
        return np.lexsort((self.tails, self.heads))

    def take(self, which: Any) -> _Run:
        """Return the keys at a slice, mask or places."""
        return _Run(self.heads[which], None if self.tails is None else self.tails[which])

    def equals_before(self) -> _Mask:
        """Return for each key but the first whether it equals the one before it."""
        equal: _Mask = self.heads[1:] == self.heads[:-1]
        if self.tails is not None:
            equal &= self.tails[1:] == self.tails[:-1]
        return equal

    def contains(self, keys: _Run) -> _Mask:
        """Look for keys; sorted ones are found faster."""
        found = np.zeros(len(keys), bool)
        asked = np.arange(len(keys))
        places = np.searchsorted(self.heads, keys.heads)
        while len(asked):
            inside = places < len(self)
            asked, places = asked[inside], places[inside]
            same = self.heads[places] == keys.heads[asked]
            asked, places = asked[same], places[same]
            if self.tails is None or keys.tails is None:
                found[asked] = True
                break
            hit = self.tails[places] == keys.tails[asked]
            found[asked[hit]] = True
            asked, places = asked[~hit], places[~hit] + 1
        return found


def _merged(one: _Run, other: _Run) -> _Run:
    """Merge two runs without common keys, in blocks."""
    total = len(one) + len(other)
    if total <= _IN_MEMORY:
        return _joined(one, other)
    try:
        # mapped, it outlives its name and its handle
        with tempfile.TemporaryFile(prefix="vfeat-ids-") as file:
            words = 1 if one.tails is None else 2
            # reserved now: a disk that is full later would kill the process
            os.posix_fallocate(file.fileno(), 0, 8 * total * words)
            mapped = np.memmap(file, np.uint64, "r+", shape=(words, total))
        start = [0, 0]
        done = 0
        while done < total:
            block, start = _next_block((one, other), start)
            mapped[0, done : done + len(block)] = block.heads
            if block.tails is not None:
                mapped[1, done : done + len(block)] = block.tails
            done += len(block)
    except OSError as error:
        raise explain(error, tempfile.gettempdir(), 16 * total) from error
    rows = np.asarray(mapped)
    return _Run(rows[0], rows[1] if words == 2 else None)


def _next_block(runs: tuple[_Run, _Run], start: list[int]) -> tuple[_Run, list[int]]:
    """Return the next keys in order of two runs, from their places `start` on, and the next."""
    blocks = [run.take(slice(at, at + _BLOCK)) for run, at in zip(runs, start, strict=True)]
    ends = [
        block.heads[-1]
        for run, block, at in zip(runs, blocks, start, strict=True)
        if at + len(block) < len(run)
    ]
    if ends:
        limit = min(ends)
        blocks = [
            block.take(slice(0, int(np.searchsorted(block.heads, limit, side="right"))))
            for block in blocks
        ]
    following = [at + len(block) for at, block in zip(start, blocks, strict=True)]
    return _joined(*blocks), following


def _joined(one: _Run, other: _Run) -> _Run:
    heads = np.concatenate([one.heads, other.heads])
    order = np.argsort(heads, kind="stable")
    if one.tails is None or other.tails is None:
        return _Run(heads[order], None)
    return _Run(heads[order], np.concatenate([one.tails, other.tails])[order])
