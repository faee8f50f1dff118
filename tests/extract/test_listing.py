"""The listing of a job: what is new, each once, and which known videos are gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.media.web import serve
from vfeat.corpus import Corpus, Video
from vfeat.corpus.id_set import IdSet
from vfeat.corpus.ids import raw_ids
from vfeat.errors import JobError
from vfeat.extract.listing import Listing
from vfeat.storage import Root


def write(path: Path, content: bytes = b"video") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def rows(path: Path, *uris: object) -> Path:
    return write(path, "\n".join(["uri", *map(str, uris), ""]).encode())


def night(*sources: object, known: pa.Table | None = None) -> tuple[Listing, pa.Table]:
    """List the sources; return what is new, as a plan would hold it."""
    ids = IdSet()
    if known is not None:
        ids.add(raw_ids(known.column("video_id")))
    listing = Listing(Corpus(map(str, sources)), ids)
    tables = [batch.table for batch in listing.fresh()]
    if not tables:
        return listing, pa.table({"video_id": pa.array([], pa.string()), "uri": [], "source": []})
    return listing, pa.concat_tables(tables, promote_options="default")


def names(table: pa.Table) -> list[str]:
    return [uri.rpartition("/")[2] for uri in table.column("uri").to_pylist()]


def gone(listing: Listing, known: pa.Table) -> dict[str, bool | None]:
    answer = listing.is_gone(known)
    assert isinstance(answer, pa.BooleanArray)
    return dict(zip(names(known), answer.to_pylist(), strict=True))


def without_source(known: pa.Table) -> pa.Table:
    """The same videos in a plan of an older version."""
    place = known.column_names.index("source")
    return known.set_column(place, "source", pa.nulls(len(known), pa.string()))


def test_each_new_video_comes_once(tmp_path: Path) -> None:
    for n in range(600):
        write(tmp_path / "folder" / f"{n:03}.mp4", b"x" * n)
    again = rows(tmp_path / "l.csv", *(tmp_path / f"folder/{n:03}.mp4" for n in (5, 5, 599)))
    listing, first = night(tmp_path / "folder", again, tmp_path / "folder" / "*0.mp4")
    assert names(first) == [f"{n:03}.mp4" for n in range(600)]
    assert (listing.videos, listing.size_bytes) == (600, sum(range(600)))
    write(tmp_path / "folder" / "new.mp4")
    listing, second = night(again, tmp_path / "folder", known=first.slice(10))
    assert names(second) == ["005.mp4", *(f"{n:03}.mp4" for n in range(10) if n != 5), "new.mp4"]
    assert listing.videos == 601
    assert names(night(tmp_path / "folder", known=pa.concat_tables([first, second]))[1]) == []


def test_a_job_without_a_video_is_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "note.txt")
    with pytest.raises(JobError, match=f"no videos in {tmp_path}: nothing there has"):
        Listing(Corpus([str(tmp_path)]), IdSet())
    twice = write(tmp_path / "l.csv", b"uri,x\n/a.mp4,1\n/a.mp4,2\n")
    with pytest.raises(JobError, match="one value in each column"):
        Listing(Corpus([str(twice)]), IdSet())


def test_removed_and_replaced_files_of_a_folder_are_gone(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4", "deep/d.mp4"):
        write(tmp_path / "in" / name)
    _, known = night(tmp_path / "in")
    (tmp_path / "in" / "a.mp4").unlink()
    write(tmp_path / "in" / "b.mp4", b"other content")
    expected: dict[str, bool | None] = {
        "a.mp4": True, "b.mp4": True, "c.mp4": False, "d.mp4": False,
    }  # fmt: skip
    listing, fresh = night(tmp_path / "in", known=known)
    assert names(fresh) == ["b.mp4"]
    assert gone(listing, known) == gone(listing, without_source(known)) == expected
    part, _ = night(tmp_path / "in" / "deep", known=known)
    assert gone(part, known) == {"a.mp4": None, "b.mp4": None, "c.mp4": None, "d.mp4": False}


def test_removed_under_a_glob_is_gone(tmp_path: Path) -> None:
    for name in ("x/a.mp4", "x/b.mp4", "y/c.mp4", "x/.h/e.mp4"):
        write(tmp_path / name)
    listed = rows(tmp_path / "l.csv", "x/a.mp4", "y/c.mp4", "x/.h/e.mp4")
    _, known = night(listed)
    for name in ("x/a.mp4", "y/c.mp4", "x/.h/e.mp4"):
        (tmp_path / name).unlink()
    expected: dict[str, bool | None] = {"a.mp4": True, "c.mp4": None, "e.mp4": None}
    for known_ in (known, without_source(known)):
        assert gone(night(tmp_path / "x*")[0], known_) == expected
        assert gone(night(tmp_path / "*" / "[a-b].mp4")[0], known_) == expected


def test_a_row_taken_out_of_a_list_is_gone_where_plans_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b.mp4"):
        write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    rows(tmp_path / "l.csv", "a.mp4", "b.mp4")
    other = rows(tmp_path / "other.csv", "b.mp4")
    _, known = night("l.csv")
    rows(tmp_path / "l.csv", "b.mp4")
    monkeypatch.chdir("/")
    again, _ = night(tmp_path / "l.csv")
    assert gone(again, known) == {"a.mp4": True, "b.mp4": False}
    assert gone(again, without_source(known)) == {"a.mp4": None, "b.mp4": False}
    assert gone(night(other)[0], known) == {"a.mp4": None, "b.mp4": False}


def test_a_deleted_file_of_a_list_is_gone_and_another_host_tells_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    listed = rows(tmp_path / "l.csv", "a.mp4")
    _, known = night(listed)
    (tmp_path / "a.mp4").unlink()
    listing, fresh = night(listed, known=known)
    assert fresh.column("etag").to_pylist() == ["missing"]
    assert gone(listing, known) == {"a.mp4": True}
    older = known.set_column(1, "uri", pa.array(["http://h/other.mp4"]))
    older = older.set_column(0, "video_id", pa.array([Video("x", 1, "e").video_id]))
    assert gone(listing, without_source(older)) == {"other.mp4": None}


def test_what_could_not_be_looked_at_is_never_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "locked/b.mp4", "loop.mp4", "mount/c.mp4"):
        write(tmp_path / "in" / name)
    _, known = night(tmp_path / "in")
    scan = os.scandir

    def refuse(folder: Any) -> Any:
        if str(folder).endswith("locked"):  # root may read everything, so the refusal is played
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    (tmp_path / "in" / "loop.mp4").unlink()
    (tmp_path / "in" / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "in" / "mount").rename(tmp_path / "elsewhere")
    (tmp_path / "in" / "mount").symlink_to("/no/such/disk")
    listing, _ = night(tmp_path / "in", known=known)
    expected: dict[str, bool | None] = {
        "a.mp4": False, "b.mp4": None, "loop.mp4": None, "c.mp4": None,
    }  # fmt: skip
    assert gone(listing, known) == gone(listing, without_source(known)) == expected
    assert listing.corpus.skipped.count == 3


def test_a_store_that_does_not_answer_takes_no_video_away(tmp_path: Path) -> None:
    write(tmp_path / "site" / "a.mp4?sig=1")
    write(tmp_path / "b.mp4")
    with serve(tmp_path / "site") as web:
        web.headers["ETag"] = '"abc"'
        listed = rows(tmp_path / "l.csv", f"{web.address}/a.mp4?sig=1", "b.mp4")
        _, known = night(listed)
        web.broken = True
        listing, fresh = night(listed, known=known)
    assert "answered 503" in fresh.column("problem").to_pylist()[0]
    assert gone(listing, known) == {"a.mp4": None, "b.mp4": False}


def test_a_re_signed_address_is_known_and_new_content_replaces_it(tmp_path: Path) -> None:
    for n in (1, 2, 3):
        write(tmp_path / "site" / f"a.mp4?sig={n}")
    with serve(tmp_path / "site") as web:
        web.headers["ETag"] = '"abc"'
        _, known = night(rows(tmp_path / "l.csv", f"{web.address}/a.mp4?sig=1"))
        again, fresh = night(rows(tmp_path / "l.csv", f"{web.address}/a.mp4?sig=2"), known=known)
        assert len(fresh) == 0 and gone(again, known) == {"a.mp4": False}
        web.headers["ETag"] = '"def"'
        later, fresh = night(rows(tmp_path / "m.csv", f"{web.address}/a.mp4?sig=3"), known=known)
        assert len(fresh) == 1 and gone(later, known) == {"a.mp4": True}


def test_removed_below_a_prefix_or_its_glob_is_gone(bucket: str) -> None:
    root = Root(f"{bucket}/in")
    for name in ("a.mp4", "x/b.mp4", "x/c.mkv"):
        root.create_bytes(name, b"1")
    _, known = night(root.uri)
    root.delete("a.mp4")
    root.delete("x/c.mkv")
    old = without_source(known)
    assert gone(night(root.uri)[0], old) == {"a.mp4": True, "b.mp4": False, "c.mkv": True}
    assert gone(night(root.url("x/"))[0], old) == {"a.mp4": None, "b.mp4": False, "c.mkv": True}
    assert gone(night(root.url("*/*.mp4"))[0], old) == {
        "a.mp4": None, "b.mp4": False, "c.mkv": None,
    }  # fmt: skip


def test_extra_columns_come_with_the_new_videos(tmp_path: Path) -> None:
    table = pa.table(
        {"uri": [f"/{n % 900}.mp4" for n in range(1000)], "size": [1] * 1000, "etag": ["e"] * 1000}
    )
    labels = pa.array([[f"l{n % 900}"] for n in range(1000)])
    pq.write_table(table.append_column("labels", labels), tmp_path / "l.parquet")
    listing, fresh = night(tmp_path / "l.parquet")
    assert fresh.column("extra.labels").to_pylist() == labels.to_pylist()[:900]
    assert (listing.videos, listing.size_bytes) == (900, 900)
