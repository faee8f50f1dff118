"""State of one decode task over all attempts."""

from __future__ import annotations

from dataclasses import dataclass, field

from vfeat.errors import ErrorClass
from vfeat.media.children.messages import ClipMade, DecodeDone, RangeEmpty, RangeFailed
from vfeat.media.children.task import ClipRangeError, DecodeTask, UnitOutcome


@dataclass
class UnitProgress:
    """Settled clips of one decode task, over all attempts."""

    task: DecodeTask
    next_clip: int
    clips: int = 0
    partial: bool = False
    empty: list[tuple[int, int]] = field(default_factory=list)
    errors: list[ClipRangeError] = field(default_factory=list)
    done: DecodeDone = field(default_factory=lambda: DecodeDone(0, 0, 0.0, ()))
    warnings: list[str] = field(default_factory=list)

    def settle(self, message: ClipMade | RangeEmpty | RangeFailed, attempt: int) -> None:
        """Record one message of the child. Children report clips in order."""
        if isinstance(message, ClipMade):
            self.clips += 1
            self.partial |= message.partial
            self.next_clip = message.clip_index + 1
            return
        first, last = message.first_clip, message.last_clip
        self.next_clip = last + 1
        if isinstance(message, RangeEmpty):
            self.empty.append((first, last))
        else:
            self.errors.append(
                ClipRangeError(first, last, message.error_class, message.message, attempt)
            )

    def fail_rest(self, error_class: ErrorClass, message: str, attempts: int) -> None:
        """Record an error for the rest of the range."""
        if self.next_clip <= self.task.last_clip:
            text = message if self.task.uri in message else f"{self.task.uri}: {message}"
            self.errors.append(
                ClipRangeError(self.next_clip, self.task.last_clip, error_class, text, attempts)
            )
            self.next_clip = self.task.last_clip + 1

    def outcome(self) -> UnitOutcome:
        """Return the outcome of the task."""
        return UnitOutcome(
            self.clips,
            tuple(self.empty),
            tuple(self.errors),
            self.partial or self.done.bad_packets > 0,
            self.done.bad_packets,
            self.done.frames_decoded,
            self.done.decode_s,
            (*self.done.warnings, *self.warnings),
        )
