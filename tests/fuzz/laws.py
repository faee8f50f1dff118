"""What must hold of a damaged video that went through the pool of children."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.fuzz.cases import Case
from vfeat.errors import ERROR_CLASSES
from vfeat.job.recipe import ClipSpec
from vfeat.media.children.task import ClipReady, TaskDone, TaskFailed
from vfeat.outcome import Outcome

SIZE = 32
_LONGEST_MESSAGE = 3000


@dataclass(frozen=True)
class ClipSeen:
    """Facts of one clip that came; its frames are not kept."""

    clip_index: int
    start_s: float
    end_s: float
    shape: tuple[int, ...]
    dtype: str
    digest: int


def see(clip: ClipReady) -> ClipSeen:
    """Read a clip, and give its memory back."""
    frames = clip.frames
    digest = zlib.crc32(np.ascontiguousarray(frames))
    seen = ClipSeen(
        clip.clip_index, clip.start_s, clip.end_s, frames.shape, str(frames.dtype), digest
    )
    clip.release()
    return seen


@dataclass
class Trial:
    """What became of one case.

    Attributes:
        outcomes: of the tasks that are over.
        error_classes: of all its error ranges and failed probes.
        rows: clips made.
        seconds: in all tasks.
        broken: laws that do not hold, a sentence each.
        first: clips of the last task that is over.
    """

    case: Case
    outcomes: list[Outcome] = field(default_factory=list)
    error_classes: list[str] = field(default_factory=list)
    rows: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    first: Sequence[ClipSeen] = ()

    def end(self, done: TaskDone, clips: Sequence[ClipSeen], spec: ClipSpec, uri: str) -> None:
        """Check a task that is over, and the clips that it gave."""
        self.broken += outcome_faults(done, clips, spec, uri)
        if self.case.way == "again" and self.outcomes:
            self.broken += difference(self.outcomes[0], self.first, done.outcome, clips)
        self.first = clips
        self.outcomes.append(done.outcome)
        self.error_classes += [error.error_class for error in done.outcome.errors]
        self.rows += len(clips)

    def fail(self, failed: TaskFailed, uri: str) -> None:
        """Check a probe that failed."""
        self.broken += message_faults(failed.error_class, failed.message, uri)
        self.error_classes.append(failed.error_class)

    @property
    def how(self) -> str:
        """The result in one word: `rows`, `empty`, or the class of its last error."""
        if self.error_classes:
            return self.error_classes[-1] + (" + rows" if self.rows else "")
        return "rows" if self.rows else "empty"


def message_faults(error_class: str, message: str, uri: str) -> Iterator[str]:
    """Find what is wrong with one error."""
    if error_class not in ERROR_CLASSES:
        yield f"the class {error_class!r} is not a public one"
    if error_class == "internal":
        yield f"a bug of ours: {message}"
    if error_class == "storage":
        yield f"a whole local file is a storage error: {message}"
    if uri not in message:
        yield f"the message does not name the file: {message}"
    if len(message) > _LONGEST_MESSAGE:
        yield f"the message has {len(message)} characters"


def outcome_faults(
    done: TaskDone, clips: Sequence[ClipSeen], spec: ClipSpec, uri: str
) -> Iterator[str]:
    """Find what is wrong with a finished task and the clips that came before its end."""
    outcome = done.outcome
    if outcome.changed or done.no_room is not None:
        yield f"changed {outcome.changed}, no room {done.no_room}, of a file that nobody touched"
        return
    for error in outcome.errors:
        yield from message_faults(error.error_class, error.message, uri)
    yield from _settled_once(outcome, [clip.clip_index for clip in clips])
    shape = (1, spec.num_frames, SIZE, SIZE, 3)
    for clip in clips:
        if clip.shape != shape or clip.dtype != "uint8":
            yield f"clip {clip.clip_index} has {clip.shape} {clip.dtype}, not {shape} uint8"
        if _is_misplaced(clip, spec):
            yield f"clip {clip.clip_index} lies at {clip.start_s} to {clip.end_s} s"
    if (found := outcome.probe) is not None:
        if not 0 <= found.duration_s < float("inf") or found.n_clips < 1:
            yield f"the grid has {found.n_clips} clips in {found.duration_s} s"
        last = outcome.split.last_clip if outcome.split else outcome.last_clip
        if last != found.n_clips - 1:
            yield f"the grid has {found.n_clips} clips, and the task ends with {last}"


def _is_misplaced(clip: ClipSeen, spec: ClipSpec) -> bool:
    if spec.sampling == "shots":
        longest_s = clip.start_s + spec.clip_s + 1e-6
        return not 0 <= clip.start_s < clip.end_s <= longest_s
    start_s = float(clip.clip_index * spec.stride)
    end_s = float(clip.clip_index * spec.stride + spec.clip)
    return spec.sampling == "dense" and (clip.start_s, clip.end_s) != (start_s, end_s)


def difference(
    one: Outcome, clips: Sequence[ClipSeen], other: Outcome, others: Sequence[ClipSeen]
) -> Iterator[str]:
    """Find in what two decodes of one file differ: nothing of other videos may come through.

    How far a decoder came that was killed or that crashed is a matter of time.
    """
    ended = {error.error_class for error in (*one.errors, *other.errors)}
    if ended & {"timeout", "crashed"}:
        return
    if one != other:
        yield f"two decodes, two outcomes: {one} and {other}"
    elif differing := [a.clip_index for a, b in zip(clips, others, strict=True) if a != b]:
        yield f"two decodes, and other pictures in the clips {differing[:20]}"


def _settled_once(outcome: Outcome, came: list[int]) -> Iterator[str]:
    """Find clips that are settled twice, never, or in another way than the events show."""
    ranges = [*outcome.empty, *((e.first_clip, e.last_clip) for e in outcome.errors)]
    ranges += [(index, index) for index in came]
    coming = outcome.first_clip
    for first, last in sorted(ranges):
        if first != coming or last < first:
            yield f"clips {first} to {last} are settled where {coming} was to come"
            return
        coming = last + 1
    if coming != outcome.last_clip + 1:
        yield f"clips {coming} to {outcome.last_clip} are never settled"
    if came != sorted(came) or len(came) != outcome.rows:
        yield f"{outcome.rows} rows, and the clips {came[:20]} came in this order"
    if outcome.rows + outcome.empty_clips + outcome.error_clips != outcome.planned:
        yield f"{outcome.planned} clips planned, and another number settled"
