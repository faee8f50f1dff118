"""A connection is to one store, as one user, with the settings of the environment."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from vfeat.storage import list_objects, open_source
from vfeat.storage.remote import connect


def test_two_hosts_are_two_stores() -> None:
    """Another host's file is another file."""
    first, path = connect("webhdfs://one:1/a.mp4")
    other, _ = connect("webhdfs://two:1/a.mp4")
    again, _ = connect("webhdfs://one:1/b.mp4")
    assert first is again
    assert ("//one:1/" in first.url, "//two:1/" in other.url) == (True, True)
    assert path.endswith("a.mp4")


def test_two_users_are_two_stores() -> None:
    alice, _ = connect("webhdfs://alice@one:1/a.mp4")
    bob, _ = connect("webhdfs://bob@one:1/a.mp4")
    assert alice is not bob
    assert ([fs.pars.get("user.name") for fs in (alice, bob)]) == ["alice", "bob"]


@pytest.mark.parametrize(
    ("uri", "variable"),
    [
        ("s3://bucket/a.mp4", "AWS_ACCESS_KEY_ID"),
        ("http://one/a.mp4", "https_proxy"),
        ("memory://a.mp4", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("memory://a.mp4", "AZURE_STORAGE_CONNECTION_STRING"),
        ("zip://a.mp4::http://one/b.zip", "NO_PROXY"),
    ],
)
def test_another_environment_is_another_store(
    uri: str, variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if "zip" in uri:
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            archive.writestr("a.mp4", b"1")
        uri = f"zip://a.mp4::{tmp_path}/b.zip"
    monkeypatch.setenv(variable, "one")
    one, _ = connect(uri)
    assert connect(uri)[0] is one
    monkeypatch.setenv("LC_ALL", "C")
    assert connect(uri)[0] is one
    monkeypatch.setenv(variable, "two")
    two, _ = connect(uri)
    assert two is not one
    monkeypatch.setenv(variable, "one")
    assert connect(uri)[0] is one


def test_an_archive_is_opened_once_for_all_its_members(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in ("b/c.mp4", "a.mp4"):
                archive.writestr(member, f"{member} of {name}")
    one, path = connect(f"zip://b/c.mp4::{tmp_path}/one.zip")
    assert path == "b/c.mp4"
    assert connect(f"zip://a.mp4::{tmp_path}/one.zip")[0] is one
    assert connect(f"zip://a.mp4::{tmp_path}/two.zip")[0] is not one
    for name in ("one.zip", "two.zip"):
        (found,) = list_objects(f"zip://b/c.mp4::{tmp_path}/{name}")
        with open_source(found.uri, found.size_bytes) as file:
            assert file.read() == f"b/c.mp4 of {name}".encode()


def test_a_cache_before_a_store_keeps_the_path(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"12")
    fs, path = connect(f"simplecache::file://{tmp_path}/a.mp4")
    assert path == f"{tmp_path}/a.mp4"
    assert fs.cat_file(path) == b"12"
