"""What is read is what was listed: the same bytes, each once, and by few requests."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import numpy as np
import pytest

from tests.s3.proxy import Proxy
from tests.s3.server import S3Server
from vfeat.errors import SourceChanged, StorageError
from vfeat.media.source import locate, no_progress, spooled
from vfeat.storage import MissingObject, Root, list_objects, object_root, open_source
from vfeat.storage.etags import etag_of, is_same_object
from vfeat.storage.failures import ObjectChanged
from vfeat.storage.ranged import S3Object
from vfeat.storage.source import check_unchanged, stream_object

MIB = 1 << 20
SIZE = 20_000_000


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes of which each position has its own."""
    return np.random.default_rng(seed).bytes(size_bytes)


class TestStore:
    """An object of a real S3 store."""

    @pytest.fixture
    def data(self) -> bytes:
        return content(SIZE)

    @pytest.fixture
    def listed(self, bucket: str, proxy: Proxy, data: bytes) -> tuple[str, int, str]:
        """URI, size and etag as the listing gives them; nothing is counted so far."""
        Root(bucket).create_bytes("a.mp4", data)
        (found,) = list_objects(f"{bucket}/a.mp4")
        proxy.asked.clear()
        proxy.down_bytes = 0
        return found.uri, found.size_bytes, found.etag

    def test_a_whole_file_is_one_get_and_no_head(
        self, listed: tuple[str, int, str], proxy: Proxy, data: bytes
    ) -> None:
        uri, size_bytes, etag = listed
        with spooled(locate(uri, size_bytes, etag=f'"{etag}"'), no_progress) as copy:
            assert copy.path is not None
            assert Path(copy.path).read_bytes() == data
        assert proxy.asked == ["GET"]
        assert SIZE <= proxy.down_bytes < SIZE * 1.01

    def test_a_download_goes_on_where_it_broke_off(
        self, listed: tuple[str, int, str], proxy: Proxy, data: bytes
    ) -> None:
        uri, size_bytes, etag = listed
        proxy.cut_after_bytes, proxy.cuts = 6 * MIB, 2
        got = b"".join(stream_object(uri, size_bytes, etag=etag, patience_s=30))
        assert got == data
        assert proxy.cuts == 0
        assert proxy.asked == ["GET"] * 3
        # what was on its way when a connection ended is asked for again; not the 12 MiB before it
        assert proxy.down_bytes < SIZE + 8 * MIB

    def test_reading_on_asks_for_more_and_more(
        self, listed: tuple[str, int, str], proxy: Proxy, data: bytes
    ) -> None:
        uri, size_bytes, etag = listed
        with open_source(uri, size_bytes, etag=etag) as file:
            assert proxy.asked == []
            got = b"".join(iter(lambda: file.read(32768), b""))
        assert got == data
        assert Counter(proxy.asked) == {"GET": 8}  # 256 KiB, doubled up to 4 MiB
        assert SIZE <= proxy.down_bytes < SIZE * 1.01

    def test_a_look_stays_small(
        self, listed: tuple[str, int, str], proxy: Proxy, data: bytes
    ) -> None:
        uri, size_bytes, etag = listed
        with open_source(uri, size_bytes, etag=etag) as file:
            for place in (0, 10_000_000, SIZE - 1000):
                file.seek(place)
                assert file.read(1000) == data[place : place + 1000]
        assert len(proxy.asked) == 3
        assert proxy.down_bytes < 600_000

    def test_two_places_in_turn_are_each_read_once(
        self, listed: tuple[str, int, str], proxy: Proxy, data: bytes
    ) -> None:
        """As a demuxer reads a file whose sound lies behind its pictures."""
        uri, size_bytes, etag = listed
        half = SIZE // 2
        with open_source(uri, size_bytes, etag=etag) as file:
            for at in range(0, half, 50_000):
                for place in (at, half + at):
                    file.seek(place)
                    assert file.read(50_000) == data[place : place + 50_000]
        assert len(proxy.asked) < 20
        assert proxy.down_bytes < SIZE + 4 * MIB  # one block too many where the first place ends

    def test_unknown_size_is_told_by_the_first_answer(
        self, listed: tuple[str, int, str], proxy: Proxy, data: bytes
    ) -> None:
        with open_source(listed[0]) as file:
            assert file.read(100) == data[:100]
            assert file.seek(0, 2) == SIZE
            file.seek(-100, 2)
            assert file.read() == data[-100:]
        assert proxy.asked == ["GET", "GET"]

    def test_a_footer_is_one_request(
        self, listed: tuple[str, int, str], proxy: Proxy, data: bytes
    ) -> None:
        """Of Parquet: neither its size nor its beginning is asked for."""
        bucket, _, key = listed[0].rpartition("/")
        with Root(bucket).open_input(key) as file:
            file.seek(-8, 2)
            assert file.read(8) == data[-8:]
            file.seek(-100_000, 2)
            assert file.read(99_992) == data[-100_000:-8]
            assert proxy.asked == ["GET"]
            assert proxy.down_bytes < 270_000
            file.seek(0)
            assert file.read() == data
        assert proxy.down_bytes < SIZE * 1.03  # the end twice: so large a read is one range

    @pytest.mark.parametrize("same_size", [True, False])
    def test_new_content_is_never_read_under_an_old_etag(
        self, listed: tuple[str, int, str], proxy: Proxy, data: bytes, same_size: bool
    ) -> None:
        uri, size_bytes, etag = listed
        file = open_source(uri, size_bytes, etag=etag)
        assert file.read(10) == data[:10]
        bucket, _, key = uri.rpartition("/")
        Root(bucket).replace_bytes(key, content(SIZE if same_size else SIZE // 2, 1))
        proxy.asked.clear()
        with pytest.raises(ObjectChanged, match="has changed since it was listed"):
            file.read(MIB)
        with pytest.raises(SourceChanged), spooled(locate(uri, size_bytes, 1, etag), no_progress):
            pass
        assert proxy.asked == ["GET", "GET"]  # what changed is not asked for again
        with pytest.raises(StorageError) as told:
            open_source(uri, SIZE // 3).read(10)  # without an etag the size tells it
        assert isinstance(told.value, ObjectChanged)

    def test_a_file_pins_itself_where_the_listing_gave_no_etag(
        self, listed: tuple[str, int, str], data: bytes
    ) -> None:
        uri, size_bytes, _ = listed
        bucket, _, key = uri.rpartition("/")
        with open_source(uri, size_bytes) as file:
            file.read(10)
            Root(bucket).replace_bytes(key, content(SIZE, 1))
            file.seek(MIB)
            with pytest.raises(ObjectChanged):
                file.read(10)

    def test_deleted_is_missing_and_not_changed(self, listed: tuple[str, int, str]) -> None:
        uri, size_bytes, etag = listed
        bucket, _, key = uri.rpartition("/")
        Root(bucket).delete(key)
        with pytest.raises(MissingObject):
            open_source(uri, size_bytes, etag=etag).read(1)

    def test_a_store_that_ignores_conditions_is_compared(
        self, listed: tuple[str, int, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uri, size_bytes, _ = listed
        monkeypatch.setattr(S3Object, "_has_conditions", False)
        with pytest.raises(ObjectChanged, match="etag 0000 then"):
            open_source(uri, size_bytes, etag="0000").read(1)


def test_objects_of_parts_have_one_etag(
    s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_root, "PART_BYTES", 5 * MIB)
    file = tmp_path / "file"
    file.write_bytes(content(12 * MIB))
    Root(bucket).create_file("a", file)
    (found,) = list_objects(f"{bucket}/a")
    assert found.etag.endswith("-3")
    with open_source(found.uri, found.size_bytes, etag=found.etag) as source:
        assert hashlib.md5(source.read()).digest() == hashlib.md5(file.read_bytes()).digest()


def test_an_empty_object_is_read(bucket: str) -> None:
    Root(bucket).create_bytes("empty", b"")
    (found,) = list_objects(f"{bucket}/empty")
    assert open_source(found.uri, 0, etag=found.etag).read() == b""
    assert list(stream_object(found.uri, 0, etag=found.etag)) == []
    assert open_source(found.uri).read() == b""


class Served:
    """A web server with one file.

    Attributes:
        headers: sent with each answer.
        ranges: it answers ranges.
        length: it tells the length.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.headers: dict[str, str] = {}
        self.ranges = self.length = True
        self.asked: list[str] = []
        self.uri = ""


@contextmanager
def serving(data: bytes) -> Iterator[Served]:
    served = Served(data)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.command)
            body, status, wanted = served.data, 200, self.headers.get("Range")
            if wanted and served.ranges:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                body, status = body[int(first) : int(last or len(body)) + 1], 206
            self.send_response(status)
            if status == 206:
                told = f"bytes {first}-{int(first) + len(body) - 1}/{len(served.data)}"
                self.send_header("Content-Range", told)
            for name, value in served.headers.items():
                self.send_header(name, value)
            if served.length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    served.uri = f"http://127.0.0.1:{server.server_address[1]}/a.mp4?token=%2B1"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


class TestWeb:
    """A file of a web server."""

    @pytest.fixture
    def web(self) -> Iterator[Served]:
        with serving(content(3 * MIB)) as served:
            yield served

    def test_size_known_is_bytes_only(self, web: Served) -> None:
        web.headers = {"ETag": '"one"'}
        assert b"".join(stream_object(web.uri, 3 * MIB, etag="one")) == web.data
        with open_source(web.uri, 3 * MIB, etag="one") as file:
            file.seek(2 * MIB)
            assert file.read(10) == web.data[2 * MIB : 2 * MIB + 10]
        assert web.asked == ["GET", "GET"]

    @pytest.mark.parametrize(
        ("then", "now"),
        [
            ({"ETag": '"one"'}, {"ETag": '"two"'}),
            ({"ETag": 'W/"one"'}, {"ETag": 'W/"two"'}),
            (
                {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"},
                {"Last-Modified": "Wed, 21 Oct 2015 07:28:01 GMT"},
            ),
        ],
    )
    def test_new_content_is_told_by_every_answer(
        self, web: Served, then: dict[str, str], now: dict[str, str]
    ) -> None:
        web.headers = then
        etag = etag_of(then, 3 * MIB)
        file = open_source(web.uri, 3 * MIB, etag=etag)
        file.read(10)
        web.headers = now
        file.seek(2 * MIB)
        with pytest.raises(ObjectChanged):
            file.read(10)
        with pytest.raises(ObjectChanged):
            list(stream_object(web.uri, 3 * MIB, etag=etag))

    def test_another_size_is_another_file(self, web: Served) -> None:
        for size_bytes in (3 * MIB - 1, 3 * MIB + 1):
            with pytest.raises(ObjectChanged, match=r"3,145,728"):
                list(stream_object(web.uri, size_bytes))
            with pytest.raises(ObjectChanged):
                open_source(web.uri, size_bytes).read(1)

    def test_headers_that_come_with_one_method_only_are_not_compared(self, web: Served) -> None:
        for etag in ("one", f"{3 * MIB}-1445412480.0", f"{3 * MIB}-None"):
            assert b"".join(stream_object(web.uri, 3 * MIB, etag=etag)) == web.data

    def test_no_ranges_is_said(self, web: Served) -> None:
        web.ranges = False
        assert b"".join(stream_object(web.uri, 3 * MIB)) == web.data
        with open_source(web.uri, 3 * MIB) as file:
            file.seek(MIB)
            with pytest.raises(StorageError, match="gives whole files only"):
                file.read(1)

    def test_neither_size_nor_ranges(self, web: Served) -> None:
        web.ranges = web.length = False
        with open_source(web.uri) as file:
            assert file.read(10) == web.data[:10]
            assert file.seek(-10, 2) == 3 * MIB - 10
            assert file.read() == web.data[-10:]


class TestOthers:
    """Local files, and stores that only fsspec reads."""

    def test_local_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        path.write_bytes(b"12345")
        (found,) = list_objects(str(path))
        source = locate(found.uri, found.size_bytes, etag=found.etag)
        source.open()
        source.check_unchanged()
        os.utime(path, ns=(1, 1))
        for call in (source.open, source.check_unchanged):
            with pytest.raises(SourceChanged, match="has changed since it was listed"):
                call()
        with pytest.raises(ObjectChanged):
            open_source(found.uri, found.size_bytes, etag=found.etag)
        path.unlink()
        with pytest.raises(MissingObject):
            check_unchanged(found.uri, found.size_bytes, found.etag)

    def test_etag_of_a_list_is_no_etag_of_a_local_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        path.write_bytes(b"12345")
        locate(str(path), 5, etag="d41d8cd98f").open()
        with pytest.raises(SourceChanged):
            locate(str(path), 4, etag="d41d8cd98f").open()

    def test_other_store(self) -> None:
        fs = fsspec.filesystem("memory")
        fs.pipe_file("/vfeat-pinned/a.mp4", b"12345")
        info = fs.info("/vfeat-pinned/a.mp4")
        uri, etag = "memory://vfeat-pinned/a.mp4", etag_of(info, 5)
        assert open_source(uri, 5, etag=etag).read() == b"12345"
        source = locate(uri, 5, etag=etag)
        with spooled(source, no_progress) as copy:
            assert copy.path is not None
            assert Path(copy.path).read_bytes() == b"12345"
            copy.check_unchanged()
        fs.pipe_file("/vfeat-pinned/a.mp4", b"54321")
        with pytest.raises(SourceChanged):
            source.check_unchanged()
        with pytest.raises(ObjectChanged):
            open_source(uri, 5, etag=etag).read()
        with pytest.raises(ObjectChanged):
            open_source(uri, 4).read()


def test_etags_of_the_kinds_that_stores_give() -> None:
    day = datetime(2020, 1, 1, tzinfo=UTC)
    s = day.timestamp()
    assert etag_of({"ETag": '"a"'}, 5) == "a"
    for info in (
        {"mtime": s},
        {"mtime": day},
        {"LastModified": day.replace(tzinfo=None)},
        {"created": "2020-01-01T00:00:00+00:00"},
        {"Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"},
        {"modificationTime": int(s * 1000)},
    ):
        assert etag_of(info, 5) == f"5-{s}", info
        assert is_same_object(f"5-{s}", 5, info)
        assert not is_same_object(f"5-{s + 1}", 5, info)
    assert etag_of({"mtime": "yesterday"}, 5) == "5-None"
    assert not is_same_object("5-7", 4, {"ETag": "5-8"})  # a store's own, of two numbers
