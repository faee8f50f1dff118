"""What identifies an object: its address without secrets and, on the web, without its query."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media.web import serve
from vfeat.addresses import public
from vfeat.storage import find_object


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("/videos/a?b#c@d.mp4", "/videos/a?b#c@d.mp4"),
        ("file:///a%FF?x.mp4", "file:///a%FF?x.mp4"),
        ("relative/u:p@h/a.mp4", "relative/u:p@h/a.mp4"),
        ("s3://bucket/what?#1 @x.mp4", "s3://bucket/what?#1 @x.mp4"),
        ("s3://bucket/a::b://c?d.mp4", "s3://bucket/a::b://c?d.mp4"),
        ("s3://key:secret@bucket/a.mp4", "s3://bucket/a.mp4"),
        ("https://h/a.mp4?sig=1&b=2#t", "https://h/a.mp4"),
        ("https://user:pass@h:8443/a@b.mp4", "https://h:8443/a@b.mp4"),
        ("http://h?x=a@b", "http://h"),
        ("sftp://user@h/a?b.mp4", "sftp://h/a?b.mp4"),
        ("abfs://container@account.dfs.core.windows.net/a.mp4",) * 2,
        ("gs://bucket/clip #1.mp4", "gs://bucket/clip #1.mp4"),
        ("zip://a#1?.mp4::https://u:p@h/x.zip?sig=1", "zip://a#1?.mp4::https://h/x.zip"),
        ("zip://u@b.mp4::s3://k:s@bucket/x?.zip", "zip://u@b.mp4::s3://bucket/x?.zip"),
        ("zip://a.mp4::/home/x@y?.zip", "zip://a.mp4::/home/x@y?.zip"),
        ("filecache::https://h/a.mp4?sig=1", "filecache::https://h/a.mp4"),
    ],
)
def test_an_address_without_what_changes(uri: str, same: str) -> None:
    assert public(uri) == same
    assert public(same) == same


def test_a_query_may_be_kept_and_a_password_never() -> None:
    assert public("https://u:p@h/watch?v=a#t", query=True) == "https://h/watch?v=a#t"


def test_an_etag_is_the_best_that_a_web_server_gives(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"12345")
    with serve(tmp_path) as web:
        assert find_object(f"{web.address}/a.mp4").etag == "5-None"
        web.headers["Last-Modified"] = "Wed, 21 Oct 2015 07:28:00 GMT"
        assert find_object(f"{web.address}/a.mp4").etag == "5-1445412480.0"
        web.headers["ETag"] = '"abc"'
        assert find_object(f"{web.address}/a.mp4").etag == "abc"
