"""The cache between epochs: what is admitted stays and comes back as it was."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vfeat.train.budget_cache import BudgetCache


def test_a_full_cache_keeps_what_it_has() -> None:
    rng = np.random.default_rng(1)
    clip = [rng.integers(0, 256, (1, 2, 64, 64, 3), np.uint8) for _ in range(5)]
    cache = BudgetCache[tuple[int, int]](2 * clip[0].nbytes, 2 * clip[0].nbytes + 5)
    kept = [cache.put((place, 0), frames) for place, frames in enumerate(clip)]
    assert kept == [True] * 4 + [False]
    assert len(cache) == 4 and cache.get((4, 0)) is None
    for place in range(4):
        found = cache.get((place, 0))
        assert found is not None and np.array_equal(found, clip[place])


@pytest.mark.parametrize("memory_bytes", [0, 1 << 20])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_stretch_comes_back_in_its_type(memory_bytes: int, dtype: type) -> None:
    values = [np.arange(6 * rows, dtype=dtype).reshape(-1, 3) for rows in (5, 9)]
    cache = BudgetCache[int](memory_bytes, 1 << 20)
    for key, array in enumerate(values):
        assert cache.has_room(array.nbytes) and cache.put(key, array)
    for key, array in enumerate(values):
        found = cache.get(key)
        assert found is not None and found.dtype == dtype
        assert np.array_equal(found[2:7], array[2:7])


def test_a_full_disk_ends_the_scratch_file_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ones = np.ones(100)
    cache = BudgetCache[str](0, 1 << 20)
    assert cache.put("before", ones)

    def no_space(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", no_space)
    assert not cache.put("full", ones)
    monkeypatch.undo()
    assert not cache.has_room(1) and not cache.put("after", ones)
    found = cache.get("before")
    assert found is not None and np.array_equal(found, ones)
