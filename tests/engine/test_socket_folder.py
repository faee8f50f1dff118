"""Ray's sockets fit into their addresses, whatever TMPDIR is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.engine.commands import TINY_FLAGS, run, summary
from vfeat.engine import socket_folder
from vfeat.engine.socket_folder import SocketFolder
from vfeat.errors import EnvironmentMissing

LONGEST_BYTES = 107


def short_folders() -> set[Path]:
    return {path for at in ("/tmp", "/var/tmp") for path in Path(at).glob("vfeat-ray-*")}


@pytest.fixture
def long_folder(tmp_path: Path) -> Path:
    """A folder whose path alone is longer than a socket's address."""
    folder = tmp_path / ("job." + "x" * 110)
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_extraction_on_ray_runs_with_a_long_tmpdir(own_clips: Path, long_folder: Path) -> None:
    before = short_folders()
    out = long_folder / "out"
    result = run(
        "extract", own_clips / "one_frame.mp4", "--out", out, *TINY_FLAGS, "--json",
        timeout_s=500, TMPDIR=str(long_folder),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert summary(result)["totals"]["rows"] == 1
    assert short_folders() == before, "the short folder is removed"


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_is_made_only_where_the_default_is_too_long(
    variable: str, tmp_path: Path, long_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    for length in range(20, 60):
        monkeypatch.setenv(variable, "/" + "x" * (length - 1))
        sockets = SocketFolder()
        folder = sockets.temp_dir or os.path.join(os.environ[variable], "ray")
        session = f"{folder}/session_2026-11-27_16-10-25_123456_{os.getpid()}"
        assert len(f"{session}/sockets/plasma_store".encode()) <= LONGEST_BYTES
        assert (sockets.temp_dir is None) == (length <= 36)
        assert sockets.logs.startswith(folder)
        sockets.remove()
        assert not sockets.temp_dir or not os.path.exists(sockets.temp_dir)


def test_a_relative_tmpdir_is_no_place_for_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "")
    sockets = SocketFolder()
    assert sockets.temp_dir is not None and os.path.isabs(sockets.temp_dir)
    sockets.remove()


@pytest.mark.parametrize("executor", ["ray", "inline"])
def test_a_tmpdir_that_cannot_be_used_is_one_sentence(
    executor: str, own_clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    for folder in (tmp_path / "nowhere", tmp_path / "file"):
        arguments = ["extract", own_clips / "one_frame.mp4", "--out", tmp_path / "out"]
        result = run(*arguments, *TINY_FLAGS, "--executor", executor, TMPDIR=str(folder))
        assert result.returncode == 4
        assert result.stderr.count("\n") == 1
        assert f"TMPDIR is {folder}" in result.stderr
    assert not (tmp_path / "out").exists()


def test_without_any_short_folder_there_is_a_sentence(
    long_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(long_folder))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(socket_folder, "_SHORT_FOLDERS", (str(long_folder), "/no/such/folder"))
    with pytest.raises(EnvironmentMissing, match="set RAY_TMPDIR to a writable folder"):
        SocketFolder()
    assert list(long_folder.iterdir()) == []
