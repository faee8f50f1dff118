"""The part of a video's grid that a task settles; child and parent derive it alike."""

from __future__ import annotations

from math import ceil

from vfeat.errors import UnitError
from vfeat.media.children.task import DecodeTask
from vfeat.outcome import Split
from vfeat.video_facts import Probe


def own_part(task: DecodeTask, found: Probe) -> tuple[int, Split | None]:
    """Return the last clip that the task settles in a grid, and what it leaves.

    Raises:
        UnitError: more clips were planned than the video has.
    """
    end = found.n_clips - 1
    if task.last_clip is not None:
        if task.last_clip > end:
            planned = f"clips {task.first_clip} to {task.last_clip} were planned"
            raise UnitError("unreadable", f"{task.uri}: has {end + 1} clips, and {planned}")
        end = task.last_clip
    # A video that restarts its clock cannot be entered in the middle.
    if task.unit_clips is None or found.timeline.restarts:
        return end, None
    # Each unit decodes from the keyframe before it: units shorter than a group of pictures
    # would decode the same pictures again and again.
    group_clips = ceil(found.n_clips * found.group_s / max(found.duration_s, 1e-9))
    step = max(task.unit_clips, group_clips)
    # Up to twice as many are one unit: a follow-up plan has its price, too.
    _, last = next(found.ranges(task.first_clip, end, 2 * step))
    if last == end:
        return end, None
    _, last = next(found.ranges(task.first_clip, end, step))
    return last, Split(end, step)
