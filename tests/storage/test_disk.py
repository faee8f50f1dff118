"""Full and read-only disks, and what is left behind: nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vfeat.errors import StorageError
from vfeat.storage import Root
from vfeat.storage.failures import explain

# a file size limit, which every system has; Python ignores the signal that comes with it
_LIMITED = """
import resource, sys
from vfeat.storage import Root
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
Root(sys.argv[1]).create_bytes("features/a", bytes(3_000_000))
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def files_below(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def test_full_disk_is_named_with_the_bytes_needed(small_disk: Path) -> None:
    root = Root(str(small_disk / "dataset"))
    assert root.create_bytes("features/a", bytes(500_000))
    for call in (root.create_bytes, root.replace_bytes):
        with pytest.raises(
            StorageError, match=r"No space left.*3,000,000 bytes are needed"
        ) as told:
            call("features/b", bytes(3_000_000))
        assert str(small_disk) in str(told.value)
    assert files_below(small_disk) == ["a"]
    assert root.create_bytes("features/c", b"still works")


def test_file_size_limit_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    run = [sys.executable, "-c", _LIMITED, str(tmp_path)]
    result = subprocess.run(run, capture_output=True, text=True, check=False)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("vfeat.errors.StorageError")
    assert "3,000,000 bytes are needed" in last
    assert files_below(tmp_path) == []


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "dataset").write_text("I am a file")
    with pytest.raises(StorageError, match=str(tmp_path)):
        Root(str(tmp_path / "dataset")).create_bytes("features/a", b"")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_no_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    # root may write everywhere, so the refusal is played
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StorageError, match=r"not allowed .*change its rights, or choose another"):
        Root(str(tmp_path / "dataset")).create_bytes("features/a", b"")


def test_published_files_have_ordinary_rights(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        Root(str(tmp_path)).create_bytes("a", b"")
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_bug_is_not_taken_for_a_storage_failure(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Root(str(tmp_path)).create_bytes("a", "text")  # type: ignore[arg-type]
    assert files_below(tmp_path) == []


def test_every_explanation_is_one_line() -> None:
    for error in (OSError("a\nb"), TimeoutError(), ConnectionResetError(104, "reset")):
        for uri in ("/a/b", "s3://bucket/key", "gs://bucket/key"):
            assert "\n" not in str(explain(error, uri))
            assert uri in str(explain(error, uri))
