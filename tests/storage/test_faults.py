"""A store that goes away, loses answers or knows no conditions."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.s3.proxy import Proxy
from tests.s3.server import S3Server
from vfeat.errors import StorageError
from vfeat.storage import MissingObject, Root, list_objects, object_root, open_source

MIB = 1 << 20


def start_later(s3: S3Server, delay_s: float) -> threading.Timer:
    timer = threading.Timer(delay_s, s3.start)
    timer.start()
    return timer


def test_create_waits_for_a_store_that_restarts(s3: S3Server, bucket: str) -> None:
    root = Root(bucket, patience_s=60)
    assert root.create_bytes("before", b"1")
    s3.kill()
    timer = start_later(s3, 2)
    assert root.create_bytes("during", b"2")
    timer.join()
    assert root.list("") == {"before": 1, "during": 1}


def test_errors_of_the_server_are_waited_for(s3: S3Server, bucket: str) -> None:
    root = Root(bucket, patience_s=90)
    s3.kill("object")  # the rest answers 503 in its place
    timer = start_later(s3, 1)
    assert root.create_bytes("a", b"1")
    timer.join()


def test_reads_wait_for_a_store_that_restarts(s3: S3Server, bucket: str) -> None:
    Root(bucket).create_bytes("a", bytes(range(256)) * 4096)
    with open_source(f"{bucket}/a", MIB, patience_s=60) as file:
        assert file.read(4) == bytes(range(4))
        s3.kill()
        timer = start_later(s3, 1)
        file.seek(700_000)
        assert file.read(2) == bytes([700_000 % 256, 700_001 % 256])
        timer.join()


def test_patience_ends_with_one_sentence(s3: S3Server, bucket: str) -> None:
    root = Root(bucket, patience_s=0.5)
    s3.kill()
    for call in (
        lambda: root.create_bytes("a", b""),
        lambda: root.exists("a"),
        lambda: open_source(f"{bucket}/a", patience_s=0.5),
    ):
        started_s = time.monotonic()
        with pytest.raises(StorageError, match=r"cannot reach http://127.*AWS_ENDPOINT_URL_S3"):
            call()
        assert time.monotonic() - started_s < 15


def test_permanent_refusals_are_not_waited_for(bucket: str) -> None:
    started_s = time.monotonic()
    with pytest.raises(MissingObject):
        Root(bucket).read_bytes("a")
    with pytest.raises(StorageError):
        list_objects("s3://test-there-is-none")
    assert time.monotonic() - started_s < 5


def test_create_whose_answer_is_lost_knows_its_own(bucket: str, proxy: Proxy) -> None:
    root = Root(bucket)
    proxy.lose_answers = 1
    assert root.create_bytes("a", b"ours")
    assert proxy.lose_answers == 0
    proxy.lose_answers = 1
    assert not root.create_bytes("a", b"ours")
    assert root.read_bytes("a") == b"ours"


def test_create_in_parts_whose_answers_are_lost(
    bucket: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_root, "PART_BYTES", 5 * MIB)
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 4096 * 12)
    root = Root(bucket)
    proxy.lose_answers = 2
    assert root.create_file("a", file)
    assert not root.create_file("a", file)
    assert root.list("") == {"a": 12 * MIB}
    assert root.read_bytes("a") == file.read_bytes()


def test_an_upload_cut_in_the_middle_is_never_seen(
    s3: S3Server,
    bucket: str,
    proxy: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(object_root, "PART_BYTES", 5 * MIB)
    file = tmp_path / "file"
    file.write_bytes(bytes(12 * MIB))
    proxy.up_limit_bytes = 7 * MIB
    with pytest.raises(StorageError):
        Root(bucket, patience_s=0).create_file("features/a", file)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    root = Root(bucket)
    assert not root.exists("features/a")
    assert root.list("features") == {}
    assert root.create_file("features/a", file)


def test_a_store_without_conditions_is_written_to_plainly(bucket: str, proxy: Proxy) -> None:
    proxy.refuse_conditions = True
    root = Root(bucket)
    assert root.create_bytes("a", b"first")
    assert not root.create_bytes("a", b"second")
    assert root.read_bytes("a") == b"first"


def test_large_object_is_created_once_and_read_by_ranges(
    bucket: str, proxy: Proxy, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    block = bytes(range(251)) * 4180  # 1,049,180 bytes: position tells content
    file.write_bytes((block * 65)[: 64 * MIB])
    root = Root(bucket)
    assert root.create_file("big", file)  # two parts of 32 MiB
    assert not root.create_file("big", file)
    before = proxy.down_bytes
    with open_source(f"{bucket}/big", 64 * MIB) as source:
        source.seek(33_000_000)
        assert source.read(1_000_000) == (block * 34)[33_000_000:34_000_000]
    assert proxy.down_bytes - before < 1_600_000
    before = proxy.down_bytes
    with open_source(f"{bucket}/big") as source:
        assert source.read(1000) == block[:1000]
        source.seek(-1000, 2)
        assert source.read() == file.read_bytes()[-1000:]
    assert proxy.down_bytes - before < 600_000
    with open_source(f"{bucket}/big") as source:
        assert source.read() == file.read_bytes()
