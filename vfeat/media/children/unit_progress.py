"""State of one decode task over all attempts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vfeat.errors import ErrorClass
from vfeat.media.children.messages import ClipMade, DecodeDone, RangeEmpty, RangeFailed
from vfeat.media.children.task import DecodeTask, TaskDone
from vfeat.outcome import Outcome, RangeError


@dataclass
class UnitProgress:
    """Settled clips of one decode task, over all attempts."""

    task: DecodeTask
    next_clip: int
    clips: int = 0
    partial: bool = False
    empty: list[tuple[int, int]] = field(default_factory=list)
    errors: list[RangeError] = field(default_factory=list)
    done: DecodeDone = field(default_factory=lambda: DecodeDone(0, 0, 0.0, ()))
    warnings: list[str] = field(default_factory=list)

    def settle(self, message: ClipMade | RangeEmpty | RangeFailed, attempt: int) -> None:
        """Record one message of the child. Children report clips in order."""
        if isinstance(message, ClipMade):
            self.clips += 1
            self.partial |= message.partial
            self.next_clip = message.clip_index + 1
            return
        if isinstance(message, RangeEmpty):
            self.empty.append((message.first_clip, message.last_clip))
            self.next_clip = message.last_clip + 1
        else:
            self.errors.append(replace(message.error, attempts=attempt))
            self.next_clip = message.error.last_clip + 1

    def fail_rest(self, error_class: ErrorClass, message: str, attempts: int) -> None:
        """Record an error for the rest of the range."""
        if self.next_clip <= self.task.last_clip:
            text = message if self.task.uri in message else f"{self.task.uri}: {message}"
            self.errors.append(
                RangeError(self.next_clip, self.task.last_clip, error_class, text, attempts)
            )
            self.next_clip = self.task.last_clip + 1

    def finished(self) -> TaskDone:
        """Return the event that ends the task."""
        task, done = self.task, self.done
        outcome = Outcome(
            task.video_id, task.uri, task.first_clip, task.last_clip, self.clips,
            tuple(self.empty), tuple(self.errors), done.bad_packets,
            (*done.warnings, *self.warnings),
        )  # fmt: skip
        partial = self.partial or done.bad_packets > 0
        return TaskDone(task.task_id, outcome, partial, done.frames_decoded, done.decode_s)
