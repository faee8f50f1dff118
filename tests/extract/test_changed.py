"""A file that changed is another video: no new bytes under an old id."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pyarrow.parquet as pq
import pytest

from tests.engine.jobs import keys, tiny_job, verified
from vfeat.engine.watch import Watch
from vfeat.extract.run import ExtractRun, run_job
from vfeat.tables.status import dataset_status, open_errors


@pytest.fixture
def folder(own_clips: Path, tmp_path: Path) -> Path:
    """One healthy video."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    shutil.copy(own_clips / "one_frame.mp4", folder)
    return folder


def statuses(out: Path) -> list[tuple[str, str]]:
    rows = pq.read_table(out / "videos.parquet").to_pylist()
    return sorted((Path(row["uri"]).name, row["status"]) for row in rows)


def test_a_file_that_was_completed_is_a_new_video(
    own_clips: Path, folder: Path, tmp_path: Path
) -> None:
    whole = (own_clips / "vp9.webm").read_bytes()
    (folder / "late.webm").write_bytes(bytes(len(whole)))  # preallocated, nothing written yet
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    assert run_job(tiny_job(out, folder)).exit_code == 3
    assert len(open_errors(str(out))) == 1
    (folder / "late.webm").write_bytes(whole)
    assert run_job(tiny_job(out, folder, retry_errors=["all"])).exit_code == 0
    run_job(tiny_job(fresh, folder))
    assert keys(out) == keys(fresh)
    assert statuses(out) == [
        ("late.webm", "complete"), ("late.webm", "gone"), ("one_frame.mp4", "complete"),
    ]  # fmt: skip
    assert open_errors(str(out)) == []
    assert pq.read_table(out / "errors.parquet").num_rows == 0
    status = dataset_status(str(out))
    assert (status.error_clips, status.rows) == (0, status.planned_clips)
    assert run_job(tiny_job(out, folder, retry_errors=["all"])).nothing_to_do
    verified(out)


def test_a_retry_from_elsewhere_leaves_changed_files_alone(folder: Path, tmp_path: Path) -> None:
    """Its sources do not list the failed file: the file itself is looked at."""
    broken = tmp_path / "elsewhere" / "broken.webm"
    broken.parent.mkdir()
    broken.write_bytes(os.urandom(3000))
    out = tmp_path / "out"
    run_job(tiny_job(out, folder, broken))
    again = tiny_job(out, folder, retry_errors=["all"])
    assert run_job(again).totals.planned_clips == 1
    os.utime(broken, ns=(1, 1))
    assert run_job(again).nothing_to_do
    broken.unlink()
    assert run_job(again).nothing_to_do


def test_errors_of_a_video_that_is_gone_are_not_open(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.mp4").write_bytes(os.urandom(3000))
    out = tmp_path / "out"
    run_job(tiny_job(out, folder))
    assert dataset_status(str(out)).error_clips == 1
    (folder / "broken.mp4").unlink()
    run_job(tiny_job(out, folder))
    assert statuses(out) == [("broken.mp4", "gone"), ("one_frame.mp4", "complete")]
    assert open_errors(str(out)) == []
    assert dataset_status(str(out)).error_clips == 0
    for row in pq.read_table(out / "videos.parquet").to_pylist():
        counted = row["clips"] + row["empty_clips"] + row["error_clips"]
        assert counted == row["planned_clips"]


def test_errors_of_a_video_that_is_back_are_retried_by_the_run_that_lists_it(
    folder: Path, tmp_path: Path
) -> None:
    broken, aside, out = folder / "broken.mp4", tmp_path / "broken.mp4", tmp_path / "out"
    broken.write_bytes(os.urandom(3000))
    run_job(tiny_job(out, folder))
    broken.rename(aside)
    run_job(tiny_job(out, folder))
    aside.rename(broken)
    again = run_job(tiny_job(out, folder, retry_errors=["all"]))
    assert again.totals.planned_clips == 1 and len(open_errors(str(out))) == 1
    broken.rename(aside)
    assert run_job(tiny_job(out, folder, retry_errors=["all"])).totals.planned_clips == 0


def test_a_row_whose_file_came_later_is_a_new_video(
    own_clips: Path, folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "list.csv"
    source.write_text(f"uri\n{folder}/one_frame.mp4\n{folder}/late.webm\n")
    out = tmp_path / "out"
    assert run_job(tiny_job(out, source)).errors == {"storage": 1}
    shutil.copy(own_clips / "vp9.webm", folder / "late.webm")
    assert run_job(tiny_job(out, source, retry_errors=["all"])).exit_code == 0
    assert open_errors(str(out)) == []
    ids = pq.read_table(out / "features").column("video_id").unique()
    assert len(ids) == 2
    verified(out)


class ReplaceWhen(Watch):
    """Puts another content into a file when a phase begins."""

    def __init__(self, phase: str, path: Path, content: bytes) -> None:
        self.at, self.path, self.content = phase, path, content

    def phase(self, name: str) -> None:
        if name == self.at:
            self.path.write_bytes(self.content)


def test_a_file_replaced_after_its_plan_is_read_anew_by_the_same_run(
    own_clips: Path, folder: Path, tmp_path: Path
) -> None:
    video = folder / "one_frame.mp4"
    other = (own_clips / "vp9.webm").read_bytes()
    shutil.copy(own_clips / "av1.mp4", folder)
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    first = ExtractRun(tiny_job(out, folder), ReplaceWhen("starting", video, other)).run()
    assert (first.exit_code, first.totals.changed_videos, first.errors) == (0, 1, {})
    run_job(tiny_job(fresh, folder))
    assert keys(out) == keys(fresh)
    assert open_errors(str(out)) == []
    rows = pq.read_table(out / "videos.parquet", columns=["uri", "status", "size_bytes"])
    of_video = [row for row in rows.to_pylist() if row["uri"] == str(video)]
    assert sorted((row["status"], row["size_bytes"] == len(other)) for row in of_video) == [
        ("complete", True),
        ("gone", False),
    ]
    assert run_job(tiny_job(out, folder)).nothing_to_do
    verified(out)


def test_a_replaced_file_that_is_put_back_is_extracted(
    own_clips: Path, folder: Path, tmp_path: Path
) -> None:
    video, kept = folder / "one_frame.mp4", tmp_path / "kept.mp4"
    shutil.copy2(video, kept)
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    other = (own_clips / "vp9.webm").read_bytes()
    ExtractRun(tiny_job(out, folder), ReplaceWhen("starting", video, other)).run()
    shutil.copy2(kept, video)  # with its time: the same video as at first
    again = run_job(tiny_job(out, folder))
    assert (again.exit_code, again.nothing_to_do) == (0, False)
    run_job(tiny_job(fresh, folder))
    assert set(keys(fresh)) <= set(keys(out))
    assert statuses(out) == [("one_frame.mp4", "complete"), ("one_frame.mp4", "gone")]
    assert run_job(tiny_job(out, folder)).nothing_to_do
    verified(out)


@contextmanager
def growing(path: Path) -> Iterator[None]:
    """Append to a file all the time."""
    stop = Event()

    def grow() -> None:
        while not stop.wait(0.005):
            with path.open("ab") as file:
                file.write(b"more")

    thread = Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_file_that_keeps_changing_is_left_to_the_next_run(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with growing(folder / "one_frame.mp4"):
        summary = run_job(tiny_job(out, folder))
    assert (summary.exit_code, summary.errors) == (3, {})
    assert summary.totals.changed_videos == 4  # as it was listed, and three times anew
    assert summary.totals.left_behind == 1
    assert keys(out) == []
    assert open_errors(str(out)) == []
    verified(out)
