"""The live display: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
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

from vfeat.cli.report import time_text
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

    def listed(self, videos: int, new: int, skipped: int) -> None:
        if self._task is not None and self._bars.tasks[-1].total is None:
            detail = f"videos, {new:,} new" + _not_read(skipped)
            self._bars.update(self._task, completed=videos, detail=detail)

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
    """Display for logs: phases as they begin, and a line every half minute in each of them.

    The lines come from a thread, so that they come in silence too: while a store is slow to list,
    or a large table is written.
    """

    def __init__(self, every_s: float = LINE_EVERY_S) -> None:
        self._every_s = every_s
        self._phase: str | None = None
        self._since_s = time.monotonic()
        self._listed = (0, 0, 0)
        self._is_planned = False
        self._totals: Totals | None = None
        self._before = (time.monotonic(), 0)  # when the last line came, and the clips then
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._lines, name="vfeat-lines", daemon=True)
        self._thread.start()

    def phase(self, name: str) -> None:
        self._phase, self._since_s = name, time.monotonic()
        say(PHASES[name], to_stderr=True)

    def listed(self, videos: int, new: int, skipped: int) -> None:
        self._listed = (videos, new, skipped)

    def planned(self) -> None:
        self._is_planned = True

    def advanced(self, totals: Totals, workers: tuple[WorkerProgress, ...]) -> None:
        self._totals = totals

    def note(self, text: str) -> None:
        say(one_line(text), to_stderr=True)

    def close(self) -> None:
        """End the lines."""
        self._closed.set()
        self._thread.join()

    def _lines(self) -> None:
        while not self._closed.wait(self._every_s):
            if self._phase is not None:
                say(self._line(self._phase), to_stderr=True)

    def _line(self, phase: str) -> str:
        if phase == "starting" and self._totals is not None:
            listing = "" if self._is_planned else f"; listing goes on: {self._listing()}"
            return self._work(self._totals) + listing
        since = time_text(time.monotonic() - self._since_s)
        detail = f": {self._listing()}" if phase == "listing" else ""
        return f"{PHASES[phase]}, for {since}{detail}"

    def _listing(self) -> str:
        videos, new, skipped = self._listed
        return f"{videos:,} videos so far, {new:,} new" + _not_read(skipped)

    def _work(self, totals: Totals) -> str:
        done = totals.clips + totals.empty_clips + totals.error_clips
        now_s, (then_s, before) = time.monotonic(), self._before
        self._before = (now_s, done)
        rate = max(done - before, 0) / max(now_s - then_s, 1e-9)
        left_s = max(totals.planned_clips - done, 0) / rate if rate else None
        left = "" if left_s is None else f", about {time_text(left_s)} left"
        # The plan's number is an estimate until all videos have been opened.
        planned = f" of about {totals.planned_clips:,}" if done <= totals.planned_clips else ""
        return (
            f"{done:,}{planned} {totals.noun}, "
            f"{totals.shards_done:,} of {totals.shards:,} shards, "
            f"{sum(totals.errors.values()):,} errors, {rate:.2f} {totals.noun}/s{left}"
        )


def _not_read(skipped: int) -> str:
    return f", {skipped:,} files or folders that cannot be read" if skipped else ""


@contextmanager
def make_watch() -> Iterator[Watch]:
    """Make a bar on a terminal, lines elsewhere."""
    watch = BarWatch(make_console(stderr=True)) if has_bars() else LineWatch()
    try:
        yield watch
    finally:
        watch.close()
