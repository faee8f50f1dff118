"""What dead writers leave is removed; what living ones hold is not touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.s3.proxy import Proxy
from vfeat.storage import Root, unfinished_uploads
from vfeat.storage.locked_names import hold, is_left_behind, maker_tag
from vfeat.storage.remote import connect
from vfeat.storage.swept import SweepReport
from vfeat.storage.temporary import (
    TemporaryFolder,
    nameless_file,
    sweep_temporary_folder,
    temporary_file,
)

# writes a thousand bytes of each kind, says so, and waits in the middle
_WRITER = """
import sys, time
from pathlib import Path
from vfeat.storage.local_root import LocalRoot
from vfeat.storage.temporary import TemporaryFolder, nameless_file, temporary_file
def write(file):
    file.write(bytes(1000))
    file.flush()
    with temporary_file("shard", ".parquet") as path, nameless_file("spool"):
        Path(path).write_bytes(bytes(1000))
        folder = TemporaryFolder("snapshot")
        Path(folder.name, "videos.parquet").write_bytes(bytes(1000))
        print("written", flush=True)
        time.sleep(600)
LocalRoot(Path(sys.argv[1])).create("features/a.parquet", write, 1000)
"""


@contextmanager
def writer(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the middle of writing."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(root)], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TMPDIR, for this process and its children."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)


def test_a_killed_writer_is_swept_and_a_living_one_is_not(folder: Path, tmp_path: Path) -> None:
    root = Root(str(tmp_path / "dataset"))
    root.create_bytes("features/b.parquet", b"committed")
    with writer(tmp_path / "dataset") as living, writer(tmp_path / "dataset") as dead:
        below = tmp_path / "dataset" / "features"
        assert len(list(below.iterdir())) == 3
        for path in (*below.iterdir(), *folder.iterdir()):
            if f"-{living.pid}-" in path.name:
                age(path, 10 * 86400)  # age is no sign of death, and youth none of life
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert len(list(folder.iterdir())) == 4
        assert root.sweep() == SweepReport(files=1, bytes=1000)
        assert sweep_temporary_folder() == SweepReport(files=2, bytes=2000)
        left = [*below.iterdir(), *folder.iterdir()]
        assert len(left) == 4
        tagged = [path for path in left if f"-{living.pid}-" in path.name]
        assert len(tagged) == 3
        assert (root.sweep(), sweep_temporary_folder()) == (SweepReport(), SweepReport())
    assert root.sweep(["features"]).files == 1
    assert sweep_temporary_folder().files == 2
    assert [path.name for path in below.iterdir()] == ["b.parquet"]
    assert list(folder.iterdir()) == []


def test_another_machines_file_is_left_for_an_hour(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    names = [f".tmp-0123abcd-1-{'0' * 32}", f".tmp-{'1' * 32}"]  # the second of an older version
    for name in names:
        (tmp_path / name).write_bytes(b"123")
    assert root.sweep() == SweepReport()
    age(tmp_path / names[0], 3700)
    assert root.sweep() == SweepReport(1, 3)
    with (tmp_path / names[1]).open("rb") as held:
        hold(held.fileno())
        age(tmp_path / names[1], 3700)
        assert root.sweep() == SweepReport()
    assert root.sweep() == SweepReport(1, 3)


def test_a_disk_without_locks_waits_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    root = Root(str(tmp_path))
    assert root.create_bytes("a", b"1")
    mine, other = tmp_path / f".tmp{maker_tag()}{'0' * 32}", tmp_path / f".tmp-{'1' * 32}"
    for path in (mine, other):
        path.write_bytes(b"1")
        age(path, 3700)
        assert not is_left_behind(str(path))
        age(path, 2 * 86400)
    assert not is_left_behind(str(mine))  # its process lives, as this test shows
    assert is_left_behind(str(other))


def test_only_our_own_names_are_swept(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    foreign = [
        folder / "vfeat-notes.txt",
        folder / "vfeat-shard-mine.parquet.bak",
        folder / "vfeat-ray-abcdefgh",
        tmp_path / ".tmp-notes",
        tmp_path / "tmp-0123abcd-1-0",
    ]
    for path in foreign:
        path.write_text("1")
        age(path, 10 * 86400)
    link = folder / "vfeat-shard-abcdefgh.parquet"
    link.symlink_to(outside)
    age(link, 10 * 86400)
    assert sweep_temporary_folder() == SweepReport()
    assert Root(str(tmp_path)).sweep() == SweepReport()
    assert all(path.exists() for path in foreign)
    link.unlink()
    link.write_text("left by an older version")
    age(link, 10 * 86400)
    assert sweep_temporary_folder().files == 1
    assert outside.exists()


def test_second_name_of_a_published_file_goes_alone(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    root.create_bytes("a", b"published")
    os.link(tmp_path / "a", tmp_path / f".tmp-{'0' * 32}")
    age(tmp_path / "a", 3700)
    assert root.sweep() == SweepReport(files=1, bytes=0)
    assert root.read_bytes("a") == b"published"


def test_what_ends_well_leaves_nothing(folder: Path) -> None:
    with temporary_file("shard", ".parquet") as path, TemporaryFolder("snapshot") as name:
        Path(path).write_bytes(b"1")
        Path(name, "a").write_bytes(b"1")
        assert len(list(folder.iterdir())) == 2
        with nameless_file("spool") as (file, again):
            file.write(b"123")
            file.flush()
            assert Path(again).read_bytes() == b"123"
            assert len(list(folder.iterdir())) == 2
    assert list(folder.iterdir()) == []


class TestUploads:
    """Uploads in parts that nobody finishes."""

    def begin(self, uri: str) -> None:
        fs, path = connect(uri)
        bucket, _, key = path.partition("/")
        made = fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
        fs.call_s3(
            "upload_part",
            Bucket=bucket,
            Key=key,
            UploadId=made["UploadId"],
            PartNumber=1,
            Body=bytes(1000),
        )

    def under(self, bucket: str) -> list[str]:
        fs, path = connect(bucket)
        found = fs.call_s3("list_multipart_uploads", Bucket=path).get("Uploads", [])
        return sorted(upload["Key"] for upload in found)

    def test_old_ones_are_ended_below_the_dataset_only(
        self, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = Root(f"{bucket}/a/dataset")
        keys = ["a/dataset/features/1", "a/dataset/features/2", "a/dataset/x", "a/dataset2/x", "b"]
        for key in keys:
            self.begin(f"{bucket}/{key}")
        root.create_bytes("features/1", b"committed")
        assert root.sweep() == SweepReport()
        assert self.under(bucket) == keys
        monkeypatch.setattr(unfinished_uploads, "_STALE", timedelta(seconds=-60))
        assert root.sweep() == SweepReport(uploads=3)
        assert self.under(bucket) == ["a/dataset2/x", "b"]
        assert root.list("features") == {"1": 9}

    def test_pages_are_followed(self, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(5):
            self.begin(f"{bucket}/d/{number}")
        fs, path = connect(bucket)
        call = fs.call_s3

        def small_pages(method: str, **asked: object) -> object:
            if method == "list_multipart_uploads":
                asked["MaxUploads"] = 2
            return call(method, **asked)

        monkeypatch.setattr(fs, "call_s3", small_pages)
        found = [upload["Key"] for upload in unfinished_uploads._uploads(fs, path, "d/")]
        assert sorted(found) == [f"d/{number}" for number in range(5)]

    def test_a_store_that_cannot_is_left_alone(self, bucket: str) -> None:
        assert Root("s3://test-there-is-none/x").sweep() == SweepReport()
        assert Root("memory://vfeat-sweep").sweep() == SweepReport()


def test_many_keys_are_deleted_by_few_requests(bucket: str, proxy: Proxy) -> None:
    root = Root(f"{bucket}/d")
    keys = [f"index/é {number}" for number in range(12)]
    for key in (*keys, "index/stays"):
        root.create_bytes(key, b"1")
    proxy.asked.clear()
    root.delete_many([*keys, *(f"index/never {number}" for number in range(1500))])
    assert proxy.asked == ["POST", "POST"]
    assert root.list("index") == {"stays": 1}
    root.delete_many([])
    assert proxy.asked[2:] == ["GET"]


def test_a_store_without_batches_deletes_one_by_one(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vfeat.storage.object_root import ObjectRoot

    monkeypatch.setattr(ObjectRoot, "_delete_batch", lambda *_: False)
    for key in ("a", "b", "c"):
        root.create_bytes(key, b"1")
    root.delete_many(iter(["a", "c", "never"]))
    assert root.list("") == {"b": 1}
