"""One decoder child and the thread that serves tasks with it.

A child that dies or hangs costs its task one retry in a fresh child, which goes on after
the last clip that was settled; no clip is emitted twice.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from vfeat.media.children.believed import check_probe, check_window
from vfeat.media.children.child_process import ChildLost, ChildProcess, start_child_of
from vfeat.media.children.messages import (
    Alive,
    BrokenProtocol,
    ChildConfig,
    ClipMade,
    DecodeDone,
    FromChild,
    GridLaid,
    ProbeDone,
    ProbeFailed,
    RangeEmpty,
    RangeFailed,
)
from vfeat.media.children.task import (
    ClipReady,
    DecodeTask,
    Event,
    Probed,
    ProbeTask,
    Task,
    TaskFailed,
)
from vfeat.media.children.unit_progress import UnitProgress
from vfeat.outcome import RangeError

_ATTEMPTS = 2


class Worker(threading.Thread):
    """Thread that serves tasks with one child.

    Attributes:
        child: the present one.
        starting_s: seconds in which children started, all of them together.
    """

    def __init__(
        self,
        config: ChildConfig,
        tasks: queue.SimpleQueue[Task | None],
        events: queue.SimpleQueue[Event],
        closed: threading.Event,
    ) -> None:
        super().__init__(name="vfeat-decode", daemon=True)
        self._config = config
        self._tasks = tasks
        self._events = events
        self._closed = closed
        self.child: ChildProcess | None = None
        self.starting_s = 0.0

    def run(self) -> None:
        try:
            while (task := self._tasks.get()) is not None and not self._closed.is_set():
                try:
                    self._serve(task)
                except Exception as error:
                    self._drop_child()
                    trace = "".join(traceback.format_exception(error))[-1500:]
                    self._give_up(task, f"{task.uri}: {error!r}\n{trace}")
        finally:
            self._drop_child()

    def _serve(self, task: Task) -> None:
        if isinstance(task, ProbeTask):
            self._probe(task)
        else:
            self._decode(task)
        limit = self._config.limits.videos_per_child
        if self.child is not None and self.child.tasks >= limit:
            self._drop_child()

    def _give_up(self, task: Task, message: str) -> None:
        """End a task with an internal error, so that a bug never loses one."""
        if isinstance(task, ProbeTask):
            self._events.put(TaskFailed(task.task_id, "internal", message))
        else:
            rest = UnitProgress(task, task.first_clip)
            rest.fail_rest("internal", message, 1)
            self._events.put(rest.finished())

    def _probe(self, task: ProbeTask) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                child = self._give(task)
                answer = self._probed(child)
            except ChildLost as loss:
                self._drop_child()
                if self._closed.is_set():
                    return
                failed = ProbeFailed(loss.error_class, f"{task.uri}: {loss.message}")
                if attempt < _ATTEMPTS:
                    continue
                answer = failed
            if isinstance(answer, ProbeDone):
                self._events.put(Probed(task.task_id, answer.probe))
            else:
                self._drop_child(answer.spent)
                self._events.put(
                    TaskFailed(task.task_id, answer.error_class, answer.message, attempt)
                )
            return

    def _decode(self, task: DecodeTask) -> None:
        progress = UnitProgress(task, task.first_clip)
        for attempt in range(1, _ATTEMPTS + 1):
            if progress.is_settled:
                break
            try:
                child = self._give(progress.rest())
                self._follow(child, progress, attempt)
                break
            except ChildLost as loss:
                self._drop_child()
                if self._closed.is_set():
                    return
                last = progress.task.last_clip
                where = f"in clips {progress.next_clip} to {'the last' if last is None else last}"
                if attempt < _ATTEMPTS:
                    progress.warnings.append(f"{task.uri}: {loss.message}, {where}; tried again")
                else:
                    progress.fail_rest(loss.error_class, f"{loss.message}, {where}", attempt)
        self._drop_child(progress.done.spent)
        self._events.put(progress.finished())

    def _give(self, task: Task) -> ChildProcess:
        """Send a task to a living child, started if need be."""
        if self.child is not None:
            with suppress(OSError):  # it died while idle: nobody's fault
                self.child.give(task)
                return self.child
            self._drop_child()
        began_s = time.monotonic()
        try:
            self.child, self._config = start_child_of(self._config, self._closed)
        finally:
            self.starting_s += time.monotonic() - began_s
        if self._closed.is_set():
            raise ChildLost("internal", "the decoder pool was closed")
        try:
            self.child.give(task)
        except OSError as error:
            raise ChildLost("internal", f"a decoder child died at once: {error}") from error
        return self.child

    def _next(self, child: ChildProcess) -> FromChild:
        while isinstance(message := child.receive(), Alive):
            pass
        return message

    def _probed(self, child: ChildProcess) -> ProbeDone | ProbeFailed:
        """Return the answer to a probe task, once it is believed."""
        answer = self._next(child)
        try:
            if isinstance(answer, ProbeDone):
                check_probe(answer.probe, self._config.clip, self._config.limits)
                return answer
            if isinstance(answer, ProbeFailed):
                return _with_reason(answer, child)
            raise BrokenProtocol(f"{type(answer).__name__} in answer to a probe task")
        except BrokenProtocol as broken:
            raise child.broke(broken) from broken

    def _follow(self, child: ChildProcess, progress: UnitProgress, attempt: int) -> None:
        """Process the messages of a decode task until it is done."""
        try:
            while not self._advance(child, progress, attempt):
                pass
        except BrokenProtocol as broken:
            raise child.broke(broken) from broken
        finally:
            served = child.served
            progress.changed |= served.changed
            progress.no_room = served.no_room or progress.no_room

    def _advance(self, child: ChildProcess, progress: UnitProgress, attempt: int) -> bool:
        """Process one message; return True when the task is done."""
        message = self._next(child)
        clip = self._config.clip
        if isinstance(message, DecodeDone):
            if self._config.bounded and not child.served.checked:
                raise BrokenProtocol("a task is done, and its video was not compared once more")
            progress.finish(message)
            return True
        if isinstance(message, GridLaid):
            check_probe(message.probe, clip, self._config.limits)
            progress.lay(message)
            return False
        if isinstance(message, RangeFailed):
            message = RangeFailed(_with_reason(message.error, child))
        if not isinstance(message, ClipMade | RangeEmpty | RangeFailed):
            raise BrokenProtocol(f"{type(message).__name__} in answer to a decode task")
        if isinstance(message, ClipMade) and (line := progress.task.timeline) is not None:
            check_window(message, clip, line)
        progress.settle(message, attempt)
        if isinstance(message, ClipMade):
            self._events.put(_clip_ready(child, progress.task.task_id, message))
        return False

    def _drop_child(self, wanted: bool = True) -> None:
        """End the child; the next task gets a fresh one."""
        child = self.child
        if wanted and child is not None:
            self.child = None
            child.close()


Failed = TypeVar("Failed", RangeError, ProbeFailed)


def _with_reason(failed: Failed, child: ChildProcess) -> Failed:
    """Return a failure to read with the reason, which the child has not: the parent has read."""
    failure = child.served.failure
    if failed.error_class != "storage" or failure is None:
        return failed
    return replace(failed, error_class=failure.error_class, message=failure.message)


def _clip_ready(child: ChildProcess, task_id: int, made: ClipMade) -> ClipReady:
    child.hold(made.slot)
    once = threading.Lock()

    def release() -> None:
        if once.acquire(blocking=False):
            child.free(made.slot)

    return ClipReady(
        task_id,
        made.clip_index,
        made.start_s,
        made.end_s,
        child.ring.view(made.slot),
        release,
    )
