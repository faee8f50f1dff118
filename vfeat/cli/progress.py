"""The live display: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vfeat.cli.terminal import has_bars, make_console, one_line, say
from vfeat.engine.watch import Totals, Watch
from vfeat.engine.worker_protocol import Progress as WorkerProgress

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY_S = 30.0
PHASES = {
    "listing": "Listing the corpus",
    "starting": "Starting workers",
    "closing": "Writing videos and errors tables",
}


class BarWatch(Watch):
    """Bar over the clips of the plan, with rate, errors and the time that is left."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            SpinnerColumn("line" if console.options.ascii_only else "dots"),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._began = 0.0
        self._bars.start()

    def phase(self, name: str) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(PHASES[name], total=None, detail="")
        self._began = time.monotonic()

    def listed(self, videos: int) -> None:
        if self._task is not None and self._bars.tasks[-1].total is None:
            self._bars.update(self._task, completed=videos, detail="videos")

    def advanced(self, totals: Totals, workers: tuple[WorkerProgress, ...]) -> None:
        if self._task is None:
            return
        done = totals.clips + totals.empty_clips + totals.error_clips
        if not totals.clips and self._bars.tasks[-1].total is None:
            self._began = time.monotonic()
        rate = totals.clips / max(time.monotonic() - self._began, 1e-9)
        detail = f"{totals.noun}, {totals.planned_videos} videos, {rate:.1f}/s"
        failed = sum(totals.errors.values())
        if failed:
            detail += f", {failed} errors"
        name = "Working" if done or totals.shards_done else PHASES["starting"]
        self._bars.update(
            self._task,
            description=name,
            total=totals.planned_clips,
            completed=min(done, totals.planned_clips),
            detail=detail,
        )

    def note(self, text: str) -> None:
        self._bars.console.print(one_line(text))

    def close(self) -> None:
        self._bars.stop()


class LineWatch(Watch):
    """Display for logs: phases as they begin, and a line every half minute."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def phase(self, name: str) -> None:
        say(PHASES[name], to_stderr=True)

    def listed(self, videos: int) -> None:
        if self._is_due():
            say(f"{videos:,} videos listed", to_stderr=True)

    def advanced(self, totals: Totals, workers: tuple[WorkerProgress, ...]) -> None:
        if not self._is_due():
            return
        done = totals.clips + totals.empty_clips + totals.error_clips
        say(
            f"{done} of {totals.planned_clips} {totals.noun}, "
            f"{totals.shards_done} of {totals.shards} shards, {sum(totals.errors.values())} errors",
            to_stderr=True,
        )

    def note(self, text: str) -> None:
        say(one_line(text), to_stderr=True)

    def _is_due(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._last_s < LINE_EVERY_S:
            return False
        self._last_s = now_s
        return True


@contextmanager
def make_watch() -> Iterator[Watch]:
    """Make a bar on a terminal, lines elsewhere."""
    if not has_bars():
        yield LineWatch()
        return
    bar = BarWatch(make_console(stderr=True))
    try:
        yield bar
    finally:
        bar.close()
