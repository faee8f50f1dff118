"""Full addresses are found again, of any number of videos, and cost little memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest

from vfeat.corpus import sorted_run
from vfeat.corpus.address_book import AddressBook
from vfeat.corpus.ids import ID, Ids, hex_ids
from vfeat.errors import StorageError


def some_ids(count: int, seed: int = 0) -> Ids:
    return np.random.default_rng(seed).integers(0, 256, 16 * count, np.uint8).view(ID)


def table(ids: Ids, addresses: list[str | None], source: str = "/list.csv") -> pa.Table:
    return pa.table(
        {
            "video_id": hex_ids(ids),
            "uri": pa.array([f"https://h/{n}" for n in range(len(ids))]),
            "source": pa.repeat(pa.scalar(source), len(ids)),
            "address": pa.array(addresses, pa.string()),
        }
    )


def test_addresses_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_run, "_IN_MEMORY", 300)
    monkeypatch.setattr(sorted_run, "_BLOCK", 64)
    book, ids = AddressBook(), some_ids(2000)
    ids[7] = ids[3][:8] + b"\0" * 8  # the same first half, and an end that numpy cuts off
    addresses = [None if n % 5 == 4 else f"https://h/{n}?sig=é{n}" for n in range(2000)]
    for start in range(0, 2000, 37):
        book.add(table(ids[start : start + 37], addresses[start : start + 37]))
    videos = hex_ids(ids).to_pylist()
    assert [book.find(video, "u", None) for video in videos] == addresses
    assert book.has(table(ids, addresses)).tolist() == [a is not None for a in addresses]
    assert book.find("ab" * 16, "u", None) is None
    book.add(table(ids[:2], ["https://h/0?new", None]))
    assert [book.find(v, "u", None) for v in videos[:2]] == ["https://h/0?new", addresses[1]]


def test_a_password_of_a_source_is_kept_once() -> None:
    book, ids = AddressBook(["https://me:pw@h/folder", "https://u:p@h/list.csv"]), some_ids(50)
    source = "https://h/folder"
    book.add(table(ids, [f"https://me:pw@h/{n}" for n in range(50)], source))
    assert len(book) == 0
    assert book.has(table(ids, [None] * 50, source)).all()
    assert book.find(hex_ids(ids)[3].as_py(), "https://h/x", source) == "https://me:pw@h/x"
    # what a list names is of other hosts
    assert not book.has(table(ids, [None] * 50, "https://h/list.csv")).any()


def test_signed_addresses_stay_out_of_memory() -> None:
    """Memory holds the places of addresses only: 16 bytes each, of 200 MB."""
    book = AddressBook()
    signature = "X-Amz-Signature=" + "0" * 470
    process = psutil.Process()
    before = None
    for seed in range(40):
        ids = some_ids(10_000, seed)
        book.add(table(ids, [f"https://h/{n}?{signature}" for n in range(10_000)]))
        if seed == 10:
            before = process.memory_full_info().uss
    assert before is not None
    grown = process.memory_full_info().uss - before
    assert grown < 40e6, f"{grown:,} bytes more"
    assert book.find(hex_ids(some_ids(10_000, 5))[77].as_py(), "u", None) == (
        f"https://h/77?{signature}"
    )


def test_the_file_has_no_name_and_a_full_disk_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    book = AddressBook()
    book.add(table(some_ids(3), ["https://h/a?1", None, "https://h/b?2"]))
    assert list(tmp_path.iterdir()) == []

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError, match="no room on the disk"):
        book.add(table(some_ids(1), ["https://h/a?1"]))
