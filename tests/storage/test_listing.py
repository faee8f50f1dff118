"""What a source holds: folders, globs, single objects, on a disk and on S3."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from vfeat.errors import JobError, StorageError
from vfeat.storage import Root, list_objects, open_source, remote
from vfeat.storage.listing import list_source

NAMES = [
    "a.mp4",
    "b/.hidden/x.mp4",
    "b/.y.mp4",
    "b/c/d.mp4",
    "b/naïve 映像 #1 100%.mp4",
    "b/note.txt",
    "b1/e.mp4",
    "b2/f/g.mp4",
    "odd1/i.mp4",
    "odd[1]/h.mp4",
    "z*.mp4",
]
SEEN = [name for name in NAMES if "/." not in name]

PATTERNS = {
    "": SEEN,
    "b": SEEN[1:4],
    "b/": SEEN[1:4],
    "a.mp4": ["a.mp4"],
    "*.mp4": ["a.mp4", "z*.mp4"],
    "*": SEEN,  # as the shell's expansion would: folders with all below them
    "b*/*.mp4": ["b/naïve 映像 #1 100%.mp4", "b1/e.mp4"],
    "b?": ["b1/e.mp4", "b2/f/g.mp4"],
    "b[!1]/*/*": ["b2/f/g.mp4"],
    "**/*.mp4": [name for name in SEEN if name != "b/note.txt"],
    "b/**": SEEN[1:4],
    "**/c/*": ["b/c/d.mp4"],
    "b/.hidden/*": ["b/.hidden/x.mp4"],
    "b/.*": ["b/.hidden/x.mp4", "b/.y.mp4"],
    "odd[1]": ["odd[1]/h.mp4"],  # it exists, so it is no pattern
    "odd[1]/h.mp4": ["odd[1]/h.mp4"],
    "z*.mp4": ["z*.mp4"],
    "odd[0-9]": ["odd1/i.mp4"],
    "nothing*": [],
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Root:
    root = Root(str(tmp_path_factory.mktemp("tree") / ".corpus"))
    for name in NAMES:
        root.create_bytes(name, name.encode())
    return root


@pytest.fixture
def corpus(root: Root) -> Root:
    for name in NAMES:
        root.create_bytes(name, name.encode())
    return root


def names(root: Root, src: str) -> list[str]:
    return [listed.uri.removeprefix(root.uri + "/") for listed in list_objects(src)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_on_a_disk(tree: Root, pattern: str) -> None:
    assert names(tree, tree.url(pattern)) == PATTERNS[pattern]


def test_patterns_on_a_store(bucket: str) -> None:
    root = Root(f"{bucket}/.corpus")
    for name in NAMES:
        root.create_bytes(name, name.encode())
    for pattern, expected in PATTERNS.items():
        # a store sorts whole keys, a disk folder by folder
        assert sorted(names(root, root.url(pattern))) == sorted(expected), pattern
    # placeholders of folders, as consoles make them
    for key in ("b/", "b/empty/"):
        fs, path = remote.connect(root.url(key))
        fs.call_s3("put_object", Bucket=path.split("/")[0], Key=path.partition("/")[2], Body=b"")
    assert names(root, root.url("b")) == SEEN[1:4]


def test_uri_size_and_etag_lead_to_the_object(corpus: Root) -> None:
    for listed in list_objects(corpus.uri):
        content = listed.uri.removeprefix(corpus.uri + "/").encode()
        assert listed.size_bytes == len(content)
        with open_source(listed.uri, listed.size_bytes) as file:
            assert file.read() == content


def test_etag_follows_the_content(root: Root) -> None:
    root.replace_bytes("a", b"1")
    first = [listed.etag for listed in list_objects(root.uri)]
    assert first == [listed.etag for listed in list_objects(root.uri)]
    root.replace_bytes("a", b"2")
    assert first != [listed.etag for listed in list_objects(root.uri)]


def test_same_folder_however_it_is_written(tree: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(list_objects(tree.uri))
    monkeypatch.chdir(tree.uri)
    for src in (".", tree.uri + "/", "file://" + tree.uri, "../" + Path(tree.uri).name):
        assert list(list_objects(src)) == expected


@pytest.mark.parametrize("src", ["/no/such/folder", "/no/such/*.mp4", "relative/nowhere"])
def test_missing_path_is_a_mistake_of_the_command(src: str) -> None:
    with pytest.raises(JobError, match=src.split("*")[0]) as told:
        list_objects(src)
    assert told.value.exit_code == 2


def test_missing_prefix_is_a_mistake_too(bucket: str) -> None:
    with pytest.raises(JobError, match="there is no object and no prefix"):
        list_objects(f"{bucket}/nowhere")
    assert list(list_objects(bucket)) == []


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("1")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    root = Root(str(tmp_path))
    assert names(root, root.uri) == ["link/a", "real/a"]
    assert names(root, root.url("link")) == ["link/a"]


def test_name_that_is_no_text_becomes_an_encoded_uri(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/bad\xff %.mp4"
    with open(path, "wb") as file:
        file.write(b"content")
    (listed,) = list_objects(str(tmp_path))
    assert listed.uri == f"file://{tmp_path}/bad%FF%20%25.mp4"
    with open_source(listed.uri) as source:
        assert source.read() == b"content"


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a folder that cannot be read."""
    for name in ("a.mp4", "locked/b.mp4", "z/c.mp4"):
        Root(str(tmp_path)).create_bytes(name, b"1")
    scan: Callable[[str], Iterator[os.DirEntry[str]]] = os.scandir

    def refuse(folder: str) -> Iterator[os.DirEntry[str]]:
        if folder.endswith("locked"):  # root may read everything, so the refusal is played
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    return tmp_path


def test_unreadable_folder_is_one_sentence(locked: Path) -> None:
    with pytest.raises(StorageError, match=r"locked: not allowed"):
        list(list_objects(str(locked)))
    with pytest.raises(StorageError, match=r"locked: not allowed"):
        list(list_source(str(locked / "locked"), lambda *_: None).pages)


def test_unreadable_folder_below_a_source_is_named_to_who_asks(locked: Path) -> None:
    skipped: list[tuple[str, str, bool]] = []
    pages = list_source(str(locked), lambda *what: skipped.append(what)).pages
    assert [uri for page in pages for uri in page.uris] == [
        str(locked / "a.mp4"),
        str(locked / "z" / "c.mp4"),
    ]
    assert skipped == [(str(locked / "locked"), "Permission denied", True)]


def test_names_that_are_no_files_are_named_to_who_asks(tmp_path: Path) -> None:
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "mount").symlink_to("/no/such/disk")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "folder.mp4" / "up").symlink_to(tmp_path)
    for name in ("._x.mp4", ".DS_Store", "x.mp4", "folder.mp4/y.mp4"):
        (tmp_path / name).write_bytes(b"1")
    skipped: dict[str, tuple[str, bool]] = {}

    def skip(uri: str, reason: str, is_folder: bool) -> None:
        skipped[Path(uri).name] = reason, is_folder

    pages = list_source(str(tmp_path), skip).pages
    assert [Path(uri).name for page in pages for uri in page.uris] == ["y.mp4", "x.mp4"]
    assert skipped == {
        "loop.mp4": ("Too many levels of symbolic links", False),
        "mount": ("it is a link to nothing", False),
        "pipe.mp4": ("it is a pipe, socket or device, not a file", False),
    }
    skipped.clear()
    assert [uri for page in list_source(f"{tmp_path}/x*", skip).pages for uri in page.uris] == [
        str(tmp_path / "x.mp4")
    ]
    assert not skipped


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_listing_holds_what_it_would_name(tree: Root, pattern: str) -> None:
    listing = list_source(tree.url(pattern))
    assert [name for name in NAMES if listing.holds(tree.url(name))] == PATTERNS[pattern]
    assert not listing.holds(tree.uri + "x/a.mp4") and not listing.holds("/other/a.mp4")


@pytest.mark.slow
def test_more_keys_than_one_page_holds(bucket: str) -> None:
    root = Root(bucket)
    keys = [f"a/{number:04}" for number in range(1010)]
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(partial(root.create_bytes, data=b""), keys))
    assert [listed.uri for listed in list_objects(f"{bucket}/a")] == [root.url(k) for k in keys]
    assert len(root.list("a")) == 1010


def test_any_other_file_system_of_fsspec() -> None:
    root = Root("memory://vfeat-test")
    for name in ("b/c.mp4", "a.mp4", ".hidden"):
        assert root.create_bytes(name, b"12")
    assert not root.create_bytes("a.mp4", b"3")
    assert root.list("") == {"a.mp4": 2}
    uris = [listed.uri for listed in list_objects("memory://vfeat-test")]
    assert [uri.rpartition("vfeat-test/")[2] for uri in uris] == ["a.mp4", "b/c.mp4"]
    assert [open_source(uri).read() for uri in uris] == [b"12", b"12"]
    assert len(list(list_objects("memory://vfeat-test/*/*.mp4"))) == 1
    root.delete("a.mp4")
    assert not root.exists("a.mp4")
