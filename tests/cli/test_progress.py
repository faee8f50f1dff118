"""Progress without a terminal: lines in every phase, also while nothing is reported."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vfeat.engine.stage_run as stage_run
from tests.engine.commands import wait_until
from tests.engine.jobs import tiny_job
from vfeat.cli.progress import LineWatch
from vfeat.extract.run import ExtractRun
from vfeat.tables.snapshot import publish_snapshot

EVERY_S = 0.05


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Wait for a line on stderr that matches a pattern."""
    lines: list[str] = []

    def has(pattern: str) -> bool:
        lines.append(capsys.readouterr().err)
        return bool(re.search(f"^{pattern}$", "".join(lines), re.M))

    return lambda pattern: wait_until(lambda: has(pattern), 60, pattern)


class Held(ExtractRun):
    """A run whose listing waits at its beginning and at its end."""

    at_begin: Callable[[], None]
    at_end: Callable[[], None]

    def plan(self) -> Iterator[str]:
        self.at_begin()
        yield from super().plan()
        self.at_end()


def test_lines_come_while_a_run_lists_works_and_closes(
    own_clips: Path,
    tmp_path: Path,
    told: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("vp9.webm", "one_frame.mp4"):
        shutil.copy(own_clips / name, folder)

    def closing(*arguments: Any) -> Counter[str]:
        told(r"Writing videos and errors tables, for .+ s")
        return publish_snapshot(*arguments)

    monkeypatch.setattr(stage_run, "publish_snapshot", closing)
    watch = LineWatch(EVERY_S)
    try:
        run = Held(tiny_job(tmp_path / "out", folder), watch)
        run.at_begin = lambda: told(r"Listing the corpus, for .+ s: 0 videos so far, 0 new")
        run.at_end = lambda: told(
            r"\d+( of about \d+)? clips, \d of 1 shards, 0 errors, .* clips/s.*; "
            r"listing goes on: 2 videos so far, 2 new"
        )
        assert run.run().exit_code == 0
    finally:
        watch.close()


def test_videos_that_are_known_already_are_counted_while_they_are_listed(
    own_clips: Path, tmp_path: Path, told: Callable[[str], None]
) -> None:
    job = tiny_job(tmp_path / "out", own_clips / "one_frame.mp4")
    assert ExtractRun(job, stage_run.Watch()).run().exit_code == 0
    watch = LineWatch(EVERY_S)
    try:
        run = Held(job, watch)
        run.at_begin = lambda: None
        run.at_end = lambda: told(r"Listing the corpus, for .+ s: 1 videos so far, 0 new")
        assert run.run().nothing_to_do
    finally:
        watch.close()
