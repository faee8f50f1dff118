"""State of one decode task over all attempts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vfeat.errors import ErrorClass, UnitError
from vfeat.media.children.messages import (
    BrokenProtocol,
    ClipMade,
    DecodeDone,
    GridLaid,
    RangeEmpty,
    RangeFailed,
)
from vfeat.media.children.own_part import own_part
from vfeat.media.children.task import DecodeTask, TaskDone
from vfeat.outcome import Outcome, RangeError, Split
from vfeat.video_facts import Probe


@dataclass
class UnitProgress:
    """Settled clips of one decode task, over all attempts.

    Attributes:
        task: what is to do; its grid becomes known when the video is open.
        probe: set when this task laid the grid.
        changed: the object is not the one to be read.
        no_room: why the machine could not do the task.
    """

    task: DecodeTask
    next_clip: int
    clips: int = 0
    partial: bool = False
    empty: list[tuple[int, int]] = field(default_factory=list)
    errors: list[RangeError] = field(default_factory=list)
    done: DecodeDone = field(default_factory=lambda: DecodeDone(0, 0, 0.0, ()))
    warnings: list[str] = field(default_factory=list)
    probe: Probe | None = None
    split: Split | None = None
    changed: bool = False
    no_room: str | None = None

    @property
    def is_settled(self) -> bool:
        """True when no clip is left for another attempt."""
        last = self.task.last_clip
        ended = self.changed or self.no_room is not None
        return ended or (last is not None and self.next_clip > last)

    def rest(self) -> DecodeTask:
        """Return the task of the next attempt."""
        return replace(self.task, first_clip=self.next_clip)

    def lay(self, message: GridLaid) -> None:
        """Record the grid that the child has laid.

        Raises:
            BrokenProtocol: there is one already, or it is not that of the plan.
        """
        if self.task.timeline is not None or self.next_clip != self.task.first_clip:
            raise BrokenProtocol("a second grid of one video")
        try:
            last, self.split = own_part(self.task, message.probe)
        except UnitError as error:
            raise BrokenProtocol("a grid of fewer clips than were planned") from error
        if last < self.next_clip:
            raise BrokenProtocol("a grid that ends before the task begins")
        self.probe = message.probe
        self.task = replace(self.task, timeline=message.probe.timeline, last_clip=last)

    def settle(self, message: ClipMade | RangeEmpty | RangeFailed, attempt: int) -> None:
        """Record one message of the child.

        Raises:
            BrokenProtocol: its clips are not those that come next in the task.
        """
        if isinstance(message, ClipMade):
            first = last = message.clip_index
        elif isinstance(message, RangeEmpty):
            first, last = message.first_clip, message.last_clip
        else:
            first, last = message.error.first_clip, message.error.last_clip
        self._check(message, first, last)
        if isinstance(message, ClipMade):
            self.clips += 1
            self.partial |= message.partial
        elif isinstance(message, RangeEmpty):
            self.empty.append((first, last))
        else:
            self.errors.append(replace(message.error, attempts=attempt))
        self.next_clip = last + 1

    def _check(self, message: ClipMade | RangeEmpty | RangeFailed, first: int, last: int) -> None:
        end = self.task.last_clip
        if self.task.timeline is None:
            # Of a video that cannot be opened, the first clip stands for all.
            end = self.task.first_clip if end is None else end
            if not isinstance(message, RangeFailed):
                raise BrokenProtocol("clips of a video whose grid was not laid")
        assert end is not None
        if first != self.next_clip or not first <= last <= end:
            raise BrokenProtocol(
                f"clips {first} to {last} where {self.next_clip} to {end} were expected"
            )

    def finish(self, message: DecodeDone) -> None:
        """Record that the child has done the task.

        Raises:
            BrokenProtocol: clips are left.
        """
        unopened = self.task.last_clip is None and self.next_clip > self.task.first_clip
        if not (self.is_settled or unopened):
            raise BrokenProtocol(f"a task is done, and its clips from {self.next_clip} on are not")
        self.done = message

    def fail_rest(self, error_class: ErrorClass, message: str, attempts: int) -> None:
        """Record an error for the rest of the range."""
        if self.is_settled:
            return
        last = self.next_clip if self.task.last_clip is None else self.task.last_clip
        text = message if self.task.uri in message else f"{self.task.uri}: {message}"
        self.errors.append(RangeError(self.next_clip, last, error_class, text, attempts))
        self.next_clip = last + 1

    def finished(self) -> TaskDone:
        """Return the event that ends the task."""
        task, done = self.task, self.done
        # Without a grid, what was settled is all that there is of the video.
        last = (
            max(task.first_clip, self.next_clip - 1) if task.last_clip is None else task.last_clip
        )
        if self.changed:
            outcome = Outcome(task.video_id, task.uri, task.first_clip, last, 0, changed=True)
            return TaskDone(task.task_id, outcome, False, done.frames_decoded, done.decode_s)
        found = self.probe
        told = dict.fromkeys((*(found.warnings if found else ()), *done.warnings, *self.warnings))
        outcome = Outcome(
            task.video_id, task.uri, task.first_clip, last, self.clips,
            tuple(self.empty), tuple(self.errors), done.bad_packets, tuple(told),
            replace(found, warnings=()) if found else None, self.split,
        )  # fmt: skip
        partial = self.partial or done.bad_packets > 0
        return TaskDone(
            task.task_id, outcome, partial, done.frames_decoded, done.decode_s, self.no_room,
            done.read_s, done.blocked_s,
        )  # fmt: skip
