"""Sorted runs of 8-byte keys with 8 more bytes each, for sets and indexes of millions."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vfeat.storage.failures import explain

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
_IN_MEMORY = 1 << 19  # keys of a run that stays in memory
_BLOCK = 1 << 17  # keys of each run that are merged at a time
_RATIO = 3  # a run is more than so many times as long as the next one


def settle(runs: list[SortedRun]) -> None:
    """Merge the last runs of a list while they are of similar length, so that there are few.

    Raises:
        StorageError: the temporary folder is full.
    """
    while len(runs) > 1 and len(runs[-1]) * _RATIO >= len(runs[-2]):
        last = runs.pop()
        runs.append(merged(runs.pop(), last))


@dataclass(frozen=True)
class SortedRun:
    """Keys: their first 8 bytes, and 8 more: the rest of those with 16, or what belongs to a key.

    Heads are sorted; tails of equal heads have no order. In a set no key stands twice.
    """

    heads: Words
    tails: Words | None

    def __len__(self) -> int:
        return len(self.heads)

    def order(self) -> npt.NDArray[np.intp]:
        """Return the places of the keys in sorted order; equal ones keep their order."""
        if self.tails is None:
            return np.argsort(self.heads, kind="stable")
        return np.lexsort((self.tails, self.heads))

    def take(self, which: Any) -> SortedRun:
        """Return the keys at a slice, mask or places."""
        return SortedRun(self.heads[which], None if self.tails is None else self.tails[which])

    def equals_before(self) -> Mask:
        """Return for each key but the first whether it equals the one before it."""
        equal: Mask = self.heads[1:] == self.heads[:-1]
        if self.tails is not None:
            equal &= self.tails[1:] == self.tails[:-1]
        return equal

    def contains(self, keys: SortedRun) -> Mask:
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


def merged(one: SortedRun, other: SortedRun) -> SortedRun:
    """Merge two runs, in blocks: a long result is in a temporary file without a name."""
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
    return SortedRun(rows[0], rows[1] if words == 2 else None)


def _next_block(runs: tuple[SortedRun, SortedRun], start: list[int]) -> tuple[SortedRun, list[int]]:
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


def _joined(one: SortedRun, other: SortedRun) -> SortedRun:
    heads = np.concatenate([one.heads, other.heads])
    order = np.argsort(heads, kind="stable")
    if one.tails is None or other.tails is None:
        return SortedRun(heads[order], None)
    return SortedRun(heads[order], np.concatenate([one.tails, other.tails])[order])
