"""One video costs at most its own error row, whatever it does and wherever."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.engine.jobs import keys, tiny_job, verified
from vfeat.errors import MachineFull
from vfeat.extract.run import run_job
from vfeat.tables.status import open_errors

RAISED = (
    *("ValueError", "KeyError", "OSError", "EOFError", "MemoryError", "RecursionError"),
    *("StopIteration", "SystemExit", "KeyboardInterrupt", "UnicodeError", "ZeroDivisionError"),
)


def test_no_exception_of_a_video_leaves_its_own_row(own_clips: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    for place, name in enumerate(RAISED):
        shutil.copy(own_clips / "av1.mp4", folder / f"raise_{name}.mp4")
        shutil.copy(own_clips / "av1.mp4", folder / f"late_{name}.mp4")
        shutil.copy(own_clips / "av1.mp4", folder / f"good_{place}.mp4")
    job = tiny_job(out, folder, decoder="tests.engine.faults:faulty", breaker_error_share=1.0)
    assert run_job(job).exit_code == 3
    rows = [name for name, _ in keys(out)]
    assert all(rows.count(f"good_{place}.mp4") == 2 for place in range(len(RAISED)))
    failed = {Path(error["uri"]).name for error in open_errors(str(out))}
    assert {f"raise_{name}.mp4" for name in RAISED} <= failed
    assert {f"late_{name}.mp4" for name in RAISED} <= failed
    verified(out)
    assert run_job(job).nothing_to_do


def test_where_every_second_file_is_broken_the_others_are_complete(
    shared: Path, own_clips: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    broken = sorted(path for path in (shared / "clips/broken").iterdir() if path.is_file())
    for place, path in enumerate(broken):
        shutil.copy(path, folder / f"{place:03d}_a_{path.name}")
        shutil.copy(own_clips / "av1.mp4", folder / f"{place:03d}_b.mp4")
    summary = run_job(tiny_job(out, folder, breaker_error_share=1.0))
    assert summary.exit_code == 3
    rows = [name for name, _ in keys(out)]
    assert all(rows.count(f"{place:03d}_b.mp4") == 2 for place in range(len(broken)))
    assert summary.videos["complete"] >= len(broken)
    assert "pending" not in summary.videos
    verified(out)


@pytest.mark.parametrize("size", [0, 1, 2**62, -5])
def test_a_list_may_claim_any_size(own_clips: Path, tmp_path: Path, size: int) -> None:
    """A wrong size or etag is a video that changed, and never the end of a run."""
    out = tmp_path / "out"
    uris = [str(own_clips / name) for name in ("av1.mp4", "one_frame.mp4")]
    status = os.stat(uris[1])
    etags = ["x" * 500, f"{status.st_size}-{status.st_mtime_ns}"]
    table = {"uri": uris, "size": [size, status.st_size], "etag": etags}
    pq.write_table(pa.table(table), tmp_path / "list.parquet")
    run_job(tiny_job(out, tmp_path / "list.parquet"))
    assert {name for name, _ in keys(out)} >= {"one_frame.mp4"}
    verified(out)
    assert run_job(tiny_job(out, tmp_path / "list.parquet")).nothing_to_do


def test_a_full_machine_is_no_videos_fault(
    own_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job ends with what to do, and no healthy video is an error row for ever."""
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    for name in ("full_a.mp4", "good.mp4"):
        shutil.copy(own_clips / "av1.mp4", folder / name)
    job = tiny_job(out, folder)
    opened = os.open

    def full(path: Any, *args: Any, **options: Any) -> int:
        if str(path).endswith("full_a.mp4") and not (folder / "healed").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, *args, **options)

    monkeypatch.setattr(os, "open", full)  # the parent opens files for its children
    with pytest.raises(MachineFull, match=r"full_a\.mp4: No space left.*free some space"):
        run_job(job)
    assert open_errors(str(out)) == []
    (folder / "healed").touch()
    assert run_job(job).exit_code == 0
    assert len(keys(out)) == 4
    verified(out)
