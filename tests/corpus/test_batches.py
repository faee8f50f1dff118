"""The corpus as columns: ids, order, sizes and etags of lists, and what is skipped."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.media.web import serve
from tests.s3.requests import Requests
from vfeat.addresses import public
from vfeat.corpus import MISSING_ETAG, Corpus, FixedType, Video, VideoBatch, iter_corpus, pieces
from vfeat.corpus import rows as rows_module
from vfeat.corpus.identity import hashes
from vfeat.corpus.ids import hex_ids, raw_ids
from vfeat.errors import JobError
from vfeat.storage import Root, find_object


def write(path: Path, content: bytes = b"video") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def csv_list(path: Path, *rows: tuple[object, ...]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def parquet_list(path: Path, columns: dict[str, Any]) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def checked(batch: VideoBatch) -> VideoBatch:
    """A batch whose parts agree."""
    table = batch.table
    assert table.column_names[:6] == [
        "video_id", "uri", "size_bytes", "etag", "source", "problem",
    ]  # fmt: skip
    videos = list(batch.videos())
    assert table.column("video_id").to_pylist() == [video.video_id for video in videos]
    assert (raw_ids(table.column("video_id")) == batch.ids).all()
    names = pa.array(
        [public(v.read_from, query=v.etag in {MISSING_ETAG, "5-None"}) for v in videos], pa.string()
    )
    assert batch.names.tolist() == hashes(names).tolist()
    return batch


def listed(*sources: str | Path) -> list[Video]:
    return [v for b in Corpus(map(str, sources)).batches() for v in checked(b).videos()]


def test_batches_are_the_videos_in_order(tmp_path: Path) -> None:
    for n in range(700):
        write(tmp_path / "folder" / f"{n:04}.MP4", b"x" * (n % 5))
        write(tmp_path / "folder" / f"{n:04}.txt")
    one = write(tmp_path / "no_suffix")
    rows = csv_list(tmp_path / "l.csv", ("uri", "x"), ("folder/0003.MP4", 5), ("none.mp4", 6))
    batches = [checked(b) for b in Corpus([str(tmp_path / "folder"), str(one), rows]).batches()]
    videos = [video for batch in batches for video in batch.videos()]
    assert [Path(video.uri).name for video in videos] == [
        *(f"{n:04}.MP4" for n in range(700)), "no_suffix", "0003.MP4", "none.mp4",
    ]  # fmt: skip
    assert videos == list(iter_corpus([str(tmp_path / "folder"), str(one), rows]))
    assert videos[3].video_id == videos[701].video_id
    assert [video.extra for video in videos[699:]] == [{}, {}, {"x": 5}, {"x": 6}]
    assert videos[-1].etag == MISSING_ETAG and "does not exist" in str(videos[-1].problem)
    sources = [s for b in batches for s in b.table.column("source").to_pylist()]
    assert sources == [str(tmp_path / "folder")] * 700 + [str(one)] + [rows] * 2
    joined = pa.concat_tables([b.table for b in batches], promote_options="default")
    assert joined.column("extra.x").to_pylist()[-3:] == [None, 5, 6]


def test_a_source_is_named_without_secrets_and_the_same_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("folder/a.mp4", "site/a.mp4?sig=1"):
        write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with serve(tmp_path / "site") as web:
        address = web.address.replace("://", "://user:secret@") + "/a.mp4?sig=1"
        batches = [checked(b) for b in Corpus(["folder", address]).batches()]
        sources = [s for b in batches for s in b.table.column("source").to_pylist()]
        assert sources == [str(tmp_path / "folder"), f"{web.address}/a.mp4"]


def test_the_first_batches_are_small_and_none_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def some(rows: int) -> pa.Table:
        uris = pa.array([f"/{n}.mp4" for n in range(rows)])
        return pieces.piece("/", uris, pa.array([1] * rows), pa.array(["e"] * rows))

    sizes = [len(b) for b in pieces.batches_of(some(100) for _ in range(400))]
    assert sizes[0] == 300 and sizes == sorted(sizes[:-1]) + sizes[-1:]
    assert sum(sizes) == 40_000 and max(sizes) < 20_000
    now_s = [0.0]
    monkeypatch.setattr(pieces.time, "monotonic", lambda: now_s[0])

    def slow() -> Iterator[pa.Table]:
        for rows in (1, 1, 0, 1):
            yield some(rows)
            now_s[0] += 1.5

    assert [len(b) for b in pieces.batches_of(slow())] == [2, 1]


def test_a_re_signed_address_is_the_same_video(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mp4?sig=1", "a.mp4?sig=2"):
        write(tmp_path / "site" / name)
    with serve(tmp_path / "site") as web:
        uris = [f"{web.address}/a.mp4?sig={n}" for n in (1, 2)]
        rows = csv_list(tmp_path / "l.csv", ("uri",), *((uri,) for uri in uris))
        one, two = listed(rows)
        assert one.etag == "5-None" and one.video_id != two.video_id  # watch?v=a and watch?v=b
        web.headers["ETag"] = '"abc"'
        one, two = listed(rows)
        assert one.video_id == two.video_id and [one.read_from, two.read_from] == uris


def test_sizes_and_etags_of_a_list_spare_every_request(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = Root(bucket)
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        root.create_bytes(name, name.encode())
    a, b, c = (root.url(name) for name in ("a.mp4", "b.mp4", "c.mp4"))
    etags = [find_object(uri).etag for uri in (a, b, c)]
    requests = Requests(bucket, monkeypatch)
    columns: dict[str, Any] = {"uri": [a, b, c], "size": [5, 5, 5], "etag": etags, "x": [1, 2, 3]}
    found = listed(parquet_list(tmp_path / "l.parquet", columns))
    assert requests.asked == []
    assert [(v.uri, v.size_bytes, v.etag, v.extra) for v in found] == [
        (a, 5, etags[0], {"x": 1}), (b, 5, etags[1], {"x": 2}), (c, 5, etags[2], {"x": 3}),
    ]  # fmt: skip
    columns |= {"size": [5, None, -1]}
    assert [v.video_id for v in listed(parquet_list(tmp_path / "l.parquet", columns))] == [
        v.video_id for v in found
    ]
    assert requests.counts() == {"head_object": 2}


def test_sizes_and_etags_spare_a_look_at_local_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = ("uri", "size_bytes", "etag", "size")
    rows = csv_list(
        tmp_path / "l.csv", head, ("a.mp4", 7, '"e"', "large"), ("/x//../b.mp4", 8, "f", "small"),
        ("file:///c.mp4", 9, "0123", ""), ("s3a://b/k?.mp4", 1, "g", ""), ("x.mp4", 1, "", ""),
        ("", 1, "h", ""), (" http://h/a.mp4?x=1 ", 1, "i", ""),
    )  # fmt: skip
    looked: list[str] = []
    stat = os.stat

    def count(path: Any, **options: Any) -> os.stat_result:
        looked.append(os.path.basename(str(path)))
        return stat(path, **options)

    corpus = Corpus([rows])
    monkeypatch.setattr(os, "stat", count)
    found = [video for batch in corpus.batches() for video in batch.videos()]
    assert {name for name in looked if name.endswith(".mp4")} == {"x.mp4"}
    assert [(v.read_from, v.size_bytes, v.etag, v.extra["size"]) for v in found] == [
        (str(tmp_path / "a.mp4"), 7, "e", "large"),
        ("/b.mp4", 8, "f", "small"),
        ("/c.mp4", 9, "0123", None),
        ("s3://b/k?.mp4", 1, "g", None),
        (str(tmp_path / "x.mp4"), 0, MISSING_ETAG, None),
        ("", 0, "", None),
        ("http://h/a.mp4?x=1", 1, "i", None),
    ]
    assert all((v.problem is None) == (v.size_bytes > 0) for v in found)


@pytest.mark.parametrize(
    ("columns", "extras"),
    [
        ({"size": [5], "x": [1]}, {"size": 5, "x": 1}),
        ({"etag": ["e"], "x": [1]}, {"etag": "e", "x": 1}),
        ({"size": ["12 MB"], "etag": ["e"]}, {"size": "12 MB", "etag": "e"}),
        ({"size": [5], "etag": [7]}, {"size": 5, "etag": 7}),
        ({"size": [1.5], "etag": ["e"]}, {"size": 1.5, "etag": "e"}),
        ({"size": [5], "size_bytes": [6], "etag": ["e"]}, {"size": 5}),
        ({"size": [5], "etag": ["e"]}, {}),
    ],
)
def test_columns_that_are_not_both_size_and_etag_travel(
    tmp_path: Path, columns: dict[str, Any], extras: dict[str, Any]
) -> None:
    write(tmp_path / "a.mp4")
    (video,) = listed(parquet_list(tmp_path / "l.parquet", {"uri": ["a.mp4"], **columns}))
    assert video.extra == extras
    assert video.problem is None


def test_a_column_that_the_dataset_has_travels_even_if_it_is_read(tmp_path: Path) -> None:
    rows = csv_list(tmp_path / "l.csv", ("uri", "size", "etag"), ("a.mp4", 5, "e"))
    corpus = Corpus([rows], {"size": FixedType(pa.int64(), "OUT")})
    (video,) = corpus.videos()
    assert (video.size_bytes, video.etag, video.extra) == (5, "e", {"size": 5})
    assert corpus.column_types == {"size": pa.int64()}
    text = Corpus([rows], {"size": FixedType(pa.string(), "OUT")})
    (video,) = text.videos()
    assert (video.size_bytes, video.extra) == (5, {"size": "5"})


def test_a_long_parquet_list_is_read_by_batches_and_checked_to_its_end(tmp_path: Path) -> None:
    rows = 40_000
    table = {
        "uri": [f"/v/{n}.mp4" for n in range(rows)],
        "size": list(range(rows)),
        "etag": ["e"] * rows,
        "label": ["3"] * (rows - 1) + ["cat"],
    }
    source = parquet_list(tmp_path / "l.parquet", table)
    batches = [checked(b) for b in Corpus([source]).batches()]
    assert max(map(len, batches)) < rows / 2
    assert [u for b in batches for u in b.table.column("uri").to_pylist()] == table["uri"]
    with pytest.raises(JobError, match=f"row {rows}: 'cat'"):
        Corpus([source], {"label": FixedType(pa.int64(), "OUT")})
    table["uri"][-1] = "/v/../v/7.mp4"
    table["label"][7] = "dog"
    corpus = Corpus([parquet_list(tmp_path / "l.parquet", table)])
    with pytest.raises(JobError, match=rf"row {rows} names .* = 'cat', and row 8 of .*'dog'"):
        corpus.refuse_contradictions()


def test_rows_of_one_address_have_one_etag(tmp_path: Path) -> None:
    head = ("uri", "size", "etag")
    one = csv_list(tmp_path / "1.csv", head, ("/a.mp4", 5, "e"), ("/b.mp4", 1, "e"))
    other = csv_list(tmp_path / "2.csv", head, ("/a.mp4", 5, "f"))
    without = csv_list(tmp_path / "3.csv", ("uri",), ("/a.mp4",))
    Corpus([one, without]).refuse_contradictions()
    with pytest.raises(JobError, match=r"with etag = 'f', and row 1 of .*'e'"):
        Corpus([one, other]).refuse_contradictions()


def test_text_that_is_none_is_refused_in_a_long_column(tmp_path: Path) -> None:
    raw = pa.array([b"ok"] * 1000 + [b"\xff"])
    bad = pa.StringArray.from_buffers(len(raw), *raw.buffers()[1:])
    uris = [f"/{n}.mp4" for n in range(len(raw))]
    source = parquet_list(tmp_path / "l.parquet", {"uri": uris, "x": bad})
    with pytest.raises(JobError, match="column 'x' is of type string, which cannot travel"):
        Corpus([source])


def test_a_missing_source_is_told_before_the_first_video(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    with pytest.raises(JobError, match="there is no such file or folder"):
        Corpus([str(tmp_path), "/no/such/folder"]).batches()


def test_what_cannot_be_looked_at_is_counted_and_named(tmp_path: Path) -> None:
    write(tmp_path / "real" / "a.mp4")
    for name in ("gone.mp4", "mount", "note.txt", "._a.mp4"):
        (tmp_path / "real" / name).symlink_to(f"/no/such/{name}")
    for n in range(30):
        (tmp_path / "real" / f"loop{n:02}.mkv").symlink_to(f"loop{n:02}.mkv")
    os.mkfifo(tmp_path / "real" / "pipe")
    os.mkfifo(tmp_path / "real" / "pipe.mp4")
    write(tmp_path / "real" / "folder.mp4" / "b.mp4")
    write(tmp_path / "real" / ".DS_Store")
    corpus = Corpus([str(tmp_path), str(tmp_path / "real")])
    assert [Path(v.uri).name for v in corpus.videos()] == ["a.mp4", "b.mp4"] * 2
    skipped = corpus.skipped
    assert skipped.count == 30 + 4
    assert len(skipped.first) == 20
    assert skipped.first[0] == (str(tmp_path / "real/gone.mp4"), "it is a link to nothing")
    uris = [str(tmp_path / "real" / name) for name in ("mount/x/y.mp4", "loop29.mkv", "c.mp4")]
    assert skipped.covers(pa.array(uris)).tolist() == [True, True, False]


def test_a_store_that_does_not_answer_says_nothing_about_its_videos(tmp_path: Path) -> None:
    rows = csv_list(tmp_path / "l.csv", ("uri",), ("http://127.0.0.1:1/a.mp4?sig=1",))
    corpus = Corpus([rows])
    (video,) = corpus.videos()
    assert "cannot reach" in str(video.problem) and corpus.skipped.count == 0
    uris = ["http://127.0.0.1:1/a.mp4?sig=9", "http://u:p@127.0.0.1:1/a.mp4", "http://h/b.mp4"]
    assert corpus.skipped.covers(pa.array(uris)).tolist() == [True, True, False]


def test_ids_in_bulk_are_those_of_each_video() -> None:
    raw = np.frombuffer(bytes(range(32)) + bytes(16), "S16")
    assert hex_ids(raw).to_pylist() == [
        bytes(range(16)).hex(),
        bytes(range(16, 32)).hex(),
        "0" * 32,
    ]
    assert (raw_ids(hex_ids(raw)) == raw).all()
    parts = pa.chunked_array([hex_ids(raw).slice(1), pa.array([], pa.string()), hex_ids(raw)])
    assert (raw_ids(parts) == np.concatenate([raw[1:], raw])).all()
    assert (raw_ids(hex_ids(raw).cast(pa.large_string())) == raw).all()
    for bad in (["0" * 31], [None], ["0" * 31, "0" * 33]):
        with pytest.raises(ValueError, match="32 hex digits"):
            raw_ids(pa.array(bad, pa.string()))


def test_lookups_keep_the_order_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = rows_module.find_object

    def slow(uri: str) -> Any:
        time.sleep(0.002 * (hash(uri) % 5))
        return find(uri)

    monkeypatch.setattr(rows_module, "find_object", slow)
    for n in range(300):
        write(tmp_path / f"{n}.mp4")
    rows = csv_list(tmp_path / "l.csv", ("uri",), *((f"{n}.mp4",) for n in range(300)))
    assert [Path(v.uri).stem for v in listed(rows)] == [str(n) for n in range(300)]
