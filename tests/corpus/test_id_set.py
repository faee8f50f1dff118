"""Sets of ids in sorted runs: the same answers as Python's sets."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfeat.corpus import sorted_run
from vfeat.corpus.id_set import IdSet
from vfeat.errors import StorageError


@pytest.fixture(params=["S16", "int64"])
def dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> np.dtype[Any]:
    """Of the keys; runs go to files when they are short already."""
    monkeypatch.setattr(sorted_run, "_IN_MEMORY", 300)
    monkeypatch.setattr(sorted_run, "_BLOCK", 64)
    return np.dtype(request.param)


def keys(dtype: np.dtype[Any], numbers: list[int]) -> Any:
    """Keys of small numbers; many share their first 8 bytes, and some end with zeros."""
    if dtype == np.int64:
        return np.array(numbers, np.int64) - 500
    raw = b"".join((n % 7).to_bytes(8, "big") + n.to_bytes(8, "little") for n in numbers)
    return np.frombuffer(raw, dtype)


def test_it_answers_as_a_set_does(dtype: np.dtype[Any]) -> None:
    draw = random.Random(3)
    found, truth = IdSet(dtype), set[int]()
    for _ in range(80):
        numbers = [draw.randrange(3000) for _ in range(draw.choice([0, 1, 40, 200]))]
        new = []
        for number in numbers:
            new.append(number not in truth)
            truth.add(number)
        assert found.add(keys(dtype, numbers)).tolist() == new
        assert len(found) == len(truth)
        asked = [draw.randrange(3500) for _ in range(100)]
        answer = found.contains(keys(dtype, asked)).tolist()
        assert answer == [number in truth for number in asked]
    assert len(truth) > 2000


def test_there_are_few_runs_and_long_ones_are_files(dtype: np.dtype[Any]) -> None:
    found = IdSet(dtype)
    for start in range(0, 20_000, 50):
        found.add(keys(dtype, list(range(start, start + 50))))
    runs = [len(run) for run in found._runs]
    assert sum(runs) == len(found) == 20_000
    assert len(runs) < 9
    in_memory = [run for run in found._runs if run.heads.base is None]
    assert sum(map(len, in_memory)) <= 300 * 2


def test_a_full_disk_is_a_sentence(dtype: np.dtype[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sorted_run.os, "posix_fallocate", full)
    found = IdSet(dtype)
    with pytest.raises(StorageError, match="no room on the disk"):
        for start in range(0, 1000, 50):
            found.add(keys(dtype, list(range(start, start + 50))))


def test_nothing_is_left_in_the_temporary_folder(
    dtype: np.dtype[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_run.tempfile, "tempdir", str(tmp_path))
    found = IdSet(dtype)
    for start in range(0, 2000, 50):
        found.add(keys(dtype, list(range(start, start + 50))))
    assert found.contains(keys(dtype, [7, 1999, 2000])).tolist() == [True, True, False]
    assert list(tmp_path.iterdir()) == []
