"""What a key holds is whole, written once, and told as it is now."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from vfeat.errors import StorageError
from vfeat.storage import MissingObject, Root

NAMES = ["with space", "é ü 映像", "a#b", "50%", "a?b=c", "x+y&z", "a::b", "[1]*", "%41", "a\\b"]
_REPLACE = "import sys, vfeat.storage as s; s.Root(sys.argv[1]).replace_bytes(sys.argv[2], b'xyz')"


def test_second_create_is_refused_and_changes_nothing(root: Root) -> None:
    assert root.create_bytes("features/a", b"first")
    assert not root.create_bytes("features/a", b"second")
    assert not root.create_bytes("features/a", b"first")
    assert root.read_bytes("features/a") == b"first"


def test_second_create_of_a_file_is_refused(root: Root, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.write_bytes(b"ours")
    assert root.create_file("features/a", ours)
    ours.write_bytes(b"changed afterwards")
    assert not root.create_file("features/a", ours)
    assert root.read_bytes("features/a") == b"ours"
    assert ours.exists()


def test_replace_takes_the_place_of_what_is_there(root: Root, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"2")
    root.replace_bytes("videos.parquet", b"1")
    root.replace_file("videos.parquet", file)
    assert root.read_bytes("videos.parquet") == b"2"
    root.replace_bytes("videos.parquet", b"333")
    assert root.read_bytes("videos.parquet") == b"333"
    assert root.list("") == {"videos.parquet": 3}


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_just_a_name(root: Root, name: str) -> None:
    key = f"folder/{name}"
    assert not root.exists(key)
    assert root.create_bytes(key, name.encode())
    assert root.exists(key)
    assert root.list("folder") == {name: len(name.encode())}
    assert root.read_bytes(key) == name.encode()
    assert root.open_input(key).read() == name.encode()
    root.delete(key)
    assert not root.exists(key)
    assert root.list("folder") == {}


def test_list_shows_one_folder_without_hidden_names(root: Root) -> None:
    for key in ("f/b", "f/a", "f/.hidden", "f/deeper/c", "f2/d"):
        root.create_bytes(key, b"12")
    assert list(root.list("f").items()) == [("a", 2), ("b", 2)]
    assert root.list("nothing") == {}
    assert root.list("") == {}


def test_a_missing_key_says_so(root: Root) -> None:
    for call in (root.read_bytes, root.open_input):
        with pytest.raises(MissingObject, match=r"features/no does not exist"):
            call("features/no")
    with pytest.raises(MissingObject, match=r"nowhere does not exist"):
        root.create_file("features/a", "/nowhere")
    root.delete("features/no")
    assert not root.exists("features/no")


def test_what_others_write_is_seen_at_once(root: Root) -> None:
    assert root.list("features") == {}
    assert not root.exists("features/a")
    subprocess.run([sys.executable, "-c", _REPLACE, root.uri, "features/a"], check=True)
    assert root.exists("features/a")
    assert root.list("features") == {"a": 3}
    subprocess.run([sys.executable, "-c", _REPLACE, root.uri, "features/b"], check=True)
    assert root.list("features") == {"a": 3, "b": 3}
    root.replace_bytes("features/a", b"4444")
    assert root.list("features") == {"a": 4, "b": 3}
    assert root.read_bytes("features/a") == b"4444"


def test_nothing_is_a_content_too(root: Root) -> None:
    assert root.create_bytes("empty", b"")
    assert not root.create_bytes("empty", b"1")
    assert root.list("") == {"empty": 0}
    assert root.read_bytes("empty") == b""
    assert root.open_input("empty").read(10) == b""


def test_a_root_travels_as_its_uri(root: Root) -> None:
    root.create_bytes("a", b"1")
    again = pickle.loads(pickle.dumps(root))
    assert (again.uri, again.patience_s) == (root.uri, root.patience_s)
    assert again.read_bytes("a") == b"1"
    assert root.url("features/a") == root.uri + "/features/a"
    assert Root(root.uri + "/").uri == root.uri


def test_local_path_is_there_for_local_roots_only(root: Root) -> None:
    path = root.local_path("features/a")
    assert (path is None) == root.uri.startswith("s3://")
    assert path is None or path == Path(root.uri) / "features" / "a"


def test_parquet_is_read_through_open_input(root: Root) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"v": list(range(1000))}), sink)
    root.create_bytes("features/t.parquet", sink.getvalue().to_pybytes())
    with root.open_input("features/t.parquet") as file:
        assert pq.ParquetFile(file).metadata.num_rows == 1000
        assert pq.read_table(file)["v"].to_pylist() == list(range(1000))


def test_importing_storage_loads_no_client_library() -> None:
    script = "import sys, vfeat.storage; print({'fsspec', 's3fs', 'botocore'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert shown.stdout.strip() == b"set()"


def test_no_bucket_is_one_sentence(bucket: str) -> None:
    root = Root("s3://test-there-is-none/x")
    for call in (
        lambda: root.create_bytes("a", b""),
        lambda: root.list(""),
        lambda: root.read_bytes("a"),
    ):
        with pytest.raises(
            StorageError, match=r"no bucket 'test-there-is-none': create it"
        ) as told:
            call()
        assert not isinstance(told.value, MissingObject)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", r"refuses the secret .*check AWS_SECRET_ACCESS_KEY"),
        ("AWS_ACCESS_KEY_ID", None, r"no credentials .*set AWS_ACCESS_KEY_ID and AWS_SECRET"),
    ],
)
def test_wrong_credentials_are_one_sentence(
    bucket: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None, sentence: str
) -> None:
    if value is None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    else:
        monkeypatch.setenv(variable, value)
    root = Root(bucket)
    for call in (lambda: root.create_bytes("a", b""), lambda: root.list("")):
        with pytest.raises(StorageError, match=sentence) as told:
            call()
        assert "\n" not in str(told.value)
