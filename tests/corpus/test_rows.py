"""A row of a list names one file, literally; a bad row fails alone and with a sentence."""

from __future__ import annotations

import os
import socket
import threading
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from zipfile import ZipFile

import pytest

from tests.media.web import serve
from vfeat.corpus import Video, iter_corpus
from vfeat.errors import EnvironmentMissing, JobError, StorageError
from vfeat.storage import Root, list_objects, other_listing

NO_GCSFS = pytest.mark.skipif(find_spec("gcsfs") is not None, reason="gcsfs is installed")
NO_HADOOP = pytest.mark.skipif("HADOOP_HOME" in os.environ, reason="Hadoop is installed")


def write(path: Path, content: bytes = b"video") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def rows(folder: Path, *uris: str | bytes) -> list[Video]:
    """The videos of a CSV of these uris."""
    cells = [uri if isinstance(uri, bytes) else uri.encode() for uri in uris]
    quoted = [b'"' + cell.replace(b'"', b'""') + b'"' for cell in cells]
    source = write(folder / "list.csv", b"\n".join([b"uri", *quoted, b""]))
    return list(iter_corpus([str(source)]))


def test_a_row_names_one_file_literally(tmp_path: Path) -> None:
    for name in ("show 1.mp4", "a.mp4", "folder/b.mp4"):
        write(tmp_path / name)
    names = ["show [1080p].mp4", "*.mp4", "?.mp4", "folder", "**/b.mp4", "fold*"]
    found = rows(tmp_path, *names)
    assert [video.uri for video in found] == [str(tmp_path / name) for name in names]
    assert [video.size_bytes for video in found] == [0] * len(names)
    for video in found:
        assert video.problem is not None and video.uri in video.problem
    assert "no pattern" in str(found[0].problem)
    assert "is a folder" in str(found[3].problem)


def test_a_name_with_pattern_characters_is_read(tmp_path: Path) -> None:
    names = ["show [1080p].mp4", "*.mp4", "what?.mp4", "#1 100%.mp4", 'a "b", c.mp4', "x\ny.mp4"]
    for number, name in enumerate(names):
        write(tmp_path / name, bytes(number + 1))
    write(tmp_path / "show 1.mp4", bytes(99))
    found = rows(tmp_path, *names)
    assert [(video.problem, video.size_bytes) for video in found] == [
        (None, number + 1) for number in range(len(names))
    ]


def test_a_row_names_one_key_literally(bucket: str, tmp_path: Path) -> None:
    root = Root(f"{bucket}/archive")
    for name in ("show 1.mp4", "*.mp4", "what?.mp4", "a.mp4", "folder/b.mp4"):
        root.create_bytes(name, name.encode())
    there = ["*.mp4", "what?.mp4", "a.mp4"]
    missing = ["show [1080p].mp4", "?.mp4", "folder", "folder/", "fol", "a.mp"]
    found = rows(tmp_path, *(root.url(name) for name in [*there, *missing]), bucket)
    assert [video.size_bytes for video in found[:3]] == [len(name) for name in there]
    assert all(video.problem is None for video in found[:3])
    assert all(video.problem and video.uri in video.problem for video in found[3:])
    assert ["prefix" in str(video.problem) for video in found[3:9]] == [
        name.startswith("folder") for name in missing
    ]


def test_a_web_address_is_taken_whole(tmp_path: Path) -> None:
    write(tmp_path / "site" / "a.mp4", bytes(7))
    write(tmp_path / "site" / "b.mp4?token=x*y", bytes(8))
    with serve(tmp_path / "site") as web:
        found = rows(
            tmp_path, f"{web.address}/a.mp4", f"{web.address}/b.mp4?token=x*y",
            f"{web.address}/none.mp4?token=1", f"{web.address}/none[1].mp4",
        )  # fmt: skip
    assert [(v.size_bytes, v.problem is None) for v in found] == [
        (7, True), (8, True), (0, False), (0, False),
    ]  # fmt: skip
    assert [urlsplit(v.read_from).query for v in found] == ["", "token=x*y", "token=1", ""]
    assert "does not exist" in str(found[2].problem)


def test_a_wrong_address_with_a_query_lists_no_site(tmp_path: Path) -> None:
    """The root of this site links to a video, as an index of a web server does."""
    with serve(write(tmp_path / "a.mp4").parent) as web:
        with pytest.raises(StorageError, match=r"/none\.mp4 does not exist"):
            list_objects(f"{web.address}/none.mp4?token=1")
        assert len(web.sent) == 1  # one GET, of the address itself


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("foo://x/y.mp4", "no installed package reads such an address"),
        ("zip://a.mp4::foo://x/y.zip", "no installed package reads such an address"),
        pytest.param("gs://bucket/x.mp4", "pip install gcsfs", marks=NO_GCSFS),
        pytest.param("hdfs://namenode/x.mp4", "HDFS is read through Hadoop's", marks=NO_HADOOP),
        ("zip://a.mp4::/no/such.zip", "does not exist"),
        ("zip://a.mp4::/etc/passwd", "not a zip file"),
        ("reference://x", "reference://x"),
        ("memory://no/such.mp4", "does not exist"),
        ("http://127.0.0.1:1/x.mp4?a=1", "cannot reach 127.0.0.1:1: connection refused"),
        ("https://user:secret@no-such-host.invalid/x.mp4", "its name is not resolved"),
        ("ftp://127.0.0.1:1/x.mp4", "cannot reach 127.0.0.1:1: connection refused"),
        ("http://[x/a.mp4", "Invalid"),
        ("http://", "http://"),
        ("zip://", "zip://"),
        ("a\0b.mp4", "NUL"),
        ("file:///%00x", "NUL"),
        ("", "row 2 of .* has no uri"),
        ("   ", "row 2 of .* has no uri"),
        (b"caf\xe9.mp4", r"row 2: the uri caf\\xe9.mp4 is not UTF-8 \(byte e9 at place 4\)"),
        ("/dev/null", "not a file"),
        ("x" * 300, "File name too long"),
        ("/no/such.mp4", "does not exist"),
    ],
)
def test_one_bad_row_is_one_problem(tmp_path: Path, uri: str | bytes, sentence: str) -> None:
    good = str(write(tmp_path / "good.mp4"))
    first, bad, last = rows(tmp_path, good, uri, "good.mp4")
    assert (first.uri, first.problem) == (last.uri, last.problem) == (good, None)
    assert bad.problem is not None
    with pytest.raises(StorageError, match=sentence):
        raise StorageError(bad.problem)
    reachable = not any(words in sentence for words in ("cannot reach", "not resolved"))
    assert reachable or "does not exist" not in bad.problem


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("foo://x/", "no installed package"),
        pytest.param("gs://bucket/archive", "pip install gcsfs", marks=NO_GCSFS),
        pytest.param("hdfs://namenode/archive", "Hadoop", marks=NO_HADOOP),
    ],
)
def test_a_source_without_its_package_is_a_matter_of_the_machine(
    source: str, sentence: str
) -> None:
    with pytest.raises(EnvironmentMissing, match=sentence):
        list(iter_corpus([source]))


def test_a_silent_server_is_not_asked_for_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes connections and never answers."""
    monkeypatch.setattr(other_listing, "_WEB_ANSWER_S", 1.0)
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        port = server.getsockname()[1]
        found = rows(tmp_path, *(f"http://127.0.0.1:{port}/{n}.mp4" for n in range(200)))
        server.shutdown(socket.SHUT_RDWR)
    for connection in taken:
        connection.close()
    assert len(found) == len({video.video_id for video in found}) == 200
    assert all(f"http://127.0.0.1:{port}" in str(video.problem) for video in found)
    assert not any("does not exist" in str(video.problem) for video in found)
    assert 0 < len(taken) < 40


def test_members_of_an_archive_keep_their_whole_address(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("in/a.mp4", b"12345")
    uri = f"zip://in/a.mp4::{tmp_path}/b.zip"
    (video,) = rows(tmp_path, uri)
    assert (video.uri, video.size_bytes, video.problem) == (uri, 5, None)
    (source,) = iter_corpus([f"zip://::{tmp_path}/b.zip"])
    assert source.uri == uri


def test_relative_rows_count_from_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "beside.mp4")
    write(tmp_path / "here" / "only_here.mp4")
    monkeypatch.chdir(tmp_path / "here")
    found = rows(tmp_path, "beside.mp4", "only_here.mp4")
    assert [video.uri for video in found] == [
        str(tmp_path / "beside.mp4"),
        os.path.abspath("only_here.mp4"),
    ]


def test_a_list_that_is_not_there_is_a_mistake_of_the_command(tmp_path: Path) -> None:
    for name in ("none.csv", "none.parquet", "*.csv"):
        write(tmp_path / "there.csv", b"uri\na.mp4\n")
        with pytest.raises(JobError, match="no such list"):
            list(iter_corpus([str(tmp_path / name)]))
