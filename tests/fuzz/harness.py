"""Damaged videos through the real pool of children, with a healthy neighbour among them.

As many tasks are in flight as there are children, so a task's seconds are its own.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.fuzz.cases import GRIDS, Case
from tests.fuzz.laws import SIZE, ClipSeen, Trial, see
from tests.media.running import settle, stacked
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import (
    ClipReady,
    DecodeTask,
    Probed,
    ProbeTask,
    Task,
    TaskDone,
    TaskFailed,
)
from vfeat.outcome import Outcome
from vfeat.video_facts import Timeline

CHILDREN = 2
LIMITS = DecodeLimits(
    timeout_s=6.0, memory_bytes=2 << 30, max_frame_pixels=4096 * 4096, max_video_clips=20_000
)
_EVERY = 8  # cases to a neighbour
_UNIT_CLIPS = 2
_MOST_UNITS = 6
_POLL_S = 0.2
_SLACK_S = 30.0  # of a loaded machine, above the budget
_ATTEMPTS = 2
_NEIGHBOUR = -1


@dataclass
class _Running:
    """A task in flight."""

    task: Task
    trial: Trial
    began_s: float
    clips: list[ClipSeen] = field(default_factory=list)
    pixels: list[npt.NDArray[np.uint8]] = field(default_factory=list)  # of a neighbour

    def allowed_s(self) -> float:
        """Seconds that the limits allow: five time-outs to enter, one for each clip; two tries."""
        budget_s = (5 + len(self.clips)) * LIMITS.timeout_s + len(self.trial.case.data) / (1 << 20)
        return _ATTEMPTS * (budget_s + LIMITS.start_timeout_s) + _SLACK_S


class Harness:
    """One pool for cases of one grid.

    Args:
        neighbour: a healthy video; its clips must be those that this process makes.
        folder: where the files of the cases are written, and deleted.

    Attributes:
        largest_bytes: highest resident memory of any child.
        faults: of the pool itself and of the neighbours; a sentence each.
    """

    def __init__(self, spec: ClipSpec, neighbour: Path, folder: Path) -> None:
        self._spec = spec
        self._neighbour = neighbour
        made_here = stacked(settle(neighbour, spec, frame=FrameSpec(size=SIZE)))
        self._whole = made_here.swapaxes(1, 2)  # clips, crops, frames, height, width, colours
        self._folder = folder
        self._queue: deque[tuple[Task, Trial]] = deque()
        self._running: dict[int, _Running] = {}
        self._task_id = 0
        self.largest_bytes = 0
        self.faults: list[str] = []

    def run(self, cases: Sequence[Case]) -> Iterator[Trial]:
        """Run cases; yield each one's trial when its last task is over.

        A fault, also an exception of the pool, ends the run.
        """
        todo = list(reversed(_with_neighbours(cases)))
        with DecodePool(self._spec, FrameSpec(size=SIZE), LIMITS, CHILDREN) as pool:
            while (todo or self._queue or self._running) and not self.faults:
                try:
                    while len(self._running) < CHILDREN and (self._queue or todo):
                        if not self._queue:
                            self._begin(todo.pop())
                        self._submit(pool, *self._queue.popleft())
                    ended = list(self._step(pool))
                except Exception:  # the law: the parent raises nothing
                    self.faults.append(traceback.format_exc())
                    return
                yield from (trial for trial in ended if trial.case.grid != _NEIGHBOUR)

    def _begin(self, case: Case) -> None:
        """Write a case's file and queue its first task."""
        trial = Trial(case)
        if case.grid == _NEIGHBOUR:
            self._queue.append((_decode(str(self._neighbour)), trial))
            return
        path = self._folder / case.name
        path.write_bytes(case.data)
        if case.way == "probed":
            self._queue.append((ProbeTask(0, str(path)), trial))
        else:
            units = _UNIT_CLIPS if case.way == "split" else None
            self._queue.append((_decode(str(path), unit_clips=units), trial))

    def _submit(self, pool: DecodePool, task: Task, trial: Trial) -> None:
        self._task_id += 1
        task = replace(task, task_id=self._task_id)
        self._running[self._task_id] = _Running(task, trial, time.monotonic())
        pool.submit(task)

    def _step(self, pool: DecodePool) -> Iterator[Trial]:
        """Take one event; yield the trial that it ends."""
        event = pool.next_event(_POLL_S)
        self._watch(pool)
        if event is None:
            return
        running = self._running.get(event.task_id)
        if running is None:
            self.faults.append(f"an event of a task that is over, or of none: {event}")
            return
        trial = running.trial
        if isinstance(event, ClipReady):
            if trial.case.grid == _NEIGHBOUR:
                running.pixels.append(event.frames.copy())
            running.clips.append(see(event))
            return
        del self._running[event.task_id]
        trial.seconds += time.monotonic() - running.began_s
        if isinstance(event, TaskDone):
            self._end(event, running)
        elif isinstance(event, TaskFailed):
            trial.fail(event, running.task.uri)
        elif isinstance(event, Probed):
            found = event.probe
            task = _decode(running.task.uri, found.timeline, 0, found.n_clips - 1)
            self._queue.append((task, trial))
        left = [*(one.trial for one in self._running.values()), *(of for _, of in self._queue)]
        if not any(other is trial for other in left):
            (self._folder / trial.case.name).unlink(missing_ok=True)
            yield trial

    def _end(self, done: TaskDone, running: _Running) -> None:
        trial, uri = running.trial, running.task.uri
        if trial.case.grid == _NEIGHBOUR:
            self._check_neighbour(done, running.pixels)
            return
        trial.end(done, running.clips, self._spec, uri)
        if trial.case.way == "again" and len(trial.outcomes) == 1:
            self._queue.append((_decode(uri), trial))
        if done.outcome.split is not None:
            self._follow(done.outcome, trial, uri)

    def _check_neighbour(self, done: TaskDone, pixels: list[npt.NDArray[np.uint8]]) -> None:
        if done.outcome.errors or len(pixels) != len(self._whole):
            self.faults.append(f"the neighbour has {len(pixels)} clips: {done.outcome}")
        elif not all((a == b).all() for a, b in zip(pixels, self._whole, strict=True)):
            self.faults.append("the neighbour's pictures are others than without damaged videos")

    def _follow(self, outcome: Outcome, trial: Trial, uri: str) -> None:
        """Queue the first units of what is left of a video, as a follow-up plan does."""
        split, found = outcome.split, outcome.probe
        assert split is not None
        if found is None:
            trial.broken.append("a video was split, and its grid is not in the outcome")
            return
        ranges = found.ranges(outcome.last_clip + 1, split.last_clip, split.unit_clips)
        for _, (first, last) in zip(range(_MOST_UNITS), ranges, strict=False):
            self._queue.append((_decode(uri, found.timeline, first, last), trial))

    def _watch(self, pool: DecodePool) -> None:
        """Measure the children's memory, and look for tasks beyond their budgets."""
        for child in pool.stats():
            peak = max(child.rss_bytes, _peak_bytes(child.pid))
            self.largest_bytes = max(self.largest_bytes, peak)
            if peak > LIMITS.memory_bytes:
                self.faults.append(f"a child holds {peak} bytes; running: {self._names()}")
        for running in self._running.values():
            if (seconds := time.monotonic() - running.began_s) > running.allowed_s():
                running.trial.broken.append(f"not done after {seconds:.0f} s")
                self.faults.append(f"{running.trial.case.name}: not done after {seconds:.0f} s")

    def unfinished(self) -> list[Case]:
        """Return the cases that were running when a fault ended the run."""
        running = (one.trial.case for one in self._running.values())
        return [case for case in running if case.grid != _NEIGHBOUR]

    def _names(self) -> str:
        return ", ".join(running.trial.case.name for running in self._running.values())


def _with_neighbours(cases: Sequence[Case]) -> list[Case]:
    """Put a neighbour among every few cases, and one behind the last."""
    healthy = Case("neighbour", "", _NEIGHBOUR, "whole", b"")
    mixed: list[Case] = []
    for place, case in enumerate(cases):
        if place % _EVERY == _EVERY // 2:
            mixed.append(healthy)
        mixed.append(case)
    return [*mixed, healthy]


def _decode(
    uri: str,
    line: Timeline | None = None,
    first: int = 0,
    last: int | None = None,
    unit_clips: int | None = None,
) -> DecodeTask:
    return DecodeTask(0, "video", uri, None, line, first, last, unit_clips)


def _peak_bytes(pid: int) -> int:
    """Return the highest resident memory of a process so far; 0 where it cannot be read."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def run_cases(cases: Sequence[Case], neighbour: Path, folder: Path) -> Iterator[Trial | Harness]:
    """Run cases of one grid; yield the trials, and at the end the harness itself."""
    harness = Harness(GRIDS[cases[0].grid], neighbour, folder)
    yield from harness.run(cases)
    yield harness
