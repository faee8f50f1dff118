"""Of several creators of one key, exactly one is told that it was the one.

So it is on disks, and on stores that check a condition when they commit, as AWS says it
does. Swift checks when a PUT begins: two that begin within a few milliseconds may both
be accepted, and the later one stands. What holds even there: one of them wins, its
object is whole, and nobody who comes afterwards is accepted.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from vfeat.storage import Root


def create(root: Root, key: str, data: bytes) -> bool:
    return root.create_bytes(key, data)


def assert_one_winner(root: Root, key: str, won: list[bool], contents: list[bytes]) -> None:
    winners = [content for content, mine in zip(contents, won, strict=True) if mine]
    assert root.read_bytes(key) in winners
    assert root.list(os.path.dirname(key)) == {os.path.basename(key): 2000}
    if not root.uri.startswith("s3://"):
        assert len(winners) == 1
    standing = root.read_bytes(key)
    assert not root.create_bytes(key, b"too late")
    assert root.read_bytes(key) == standing


@pytest.mark.parametrize("same_bytes", [False, True])
def test_threads(root: Root, same_bytes: bool) -> None:
    contents = [bytes([0 if same_bytes else n]) * 2000 for n in range(8)]
    for attempt in range(4):
        key = f"race{attempt}/a"
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda data, key=key: root.create_bytes(key, data), contents))
        assert_one_winner(root, key, won, contents)


def test_processes(root: Root) -> None:
    contents = [bytes([n]) * 2000 for n in range(6)]
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        won = list(pool.map(create, [root] * 6, ["race/a"] * 6, contents))
    assert_one_winner(root, "race/a", won, contents)


def test_disks_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no hard links here, as on FAT")

    monkeypatch.setattr(os, "link", refuse)
    root = Root(str(tmp_path))
    contents = [bytes([n]) * 2000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda data: root.create_bytes("race/a", data), contents))
    assert_one_winner(root, "race/a", won, contents)
