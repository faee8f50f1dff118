"""Videos to units to shards: how much work is lost at most, and how many files there are.

A unit is a range of one video's clips; a long video is many, so that it runs in parallel
and resumes in the middle. A shard is a run of units: about five minutes of estimated work,
never more than the byte limit, both known in advance because rows and widths are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

from vfeat.plan.estimate import Estimate
from vfeat.plan.unit import Planned, U, Unit
from vfeat.video_facts import Probe

MAX_UNITS = 2000  # outcomes stand in the file's footer, which is read whole
MIN_UNIT_CLIPS = 8  # below this, seeking costs more than it spreads
LEAST_S = 30.0  # of work in a shard, however many workers wait
UNIT_SHARE = 0.2  # of a shard's work; what a crashing decoder can cost


@dataclass(frozen=True)
class ShardLimits:
    """Bounds of a shard.

    Attributes:
        seconds: estimated work of one worker.
        clips: rows, from the byte limit and the width of a row.
    """

    seconds: float
    clips: int

    def spread(self, total_s: float, workers: int) -> ShardLimits:
        """Return smaller limits for a small corpus, so that every worker gets a few shards."""
        fair_s = total_s / (workers * 4)
        return ShardLimits(min(self.seconds, max(fair_s, LEAST_S)), self.clips)


def units_of(video: Planned, estimate: Estimate, limits: ShardLimits) -> Iterator[Unit]:
    """Cut a video's clips into units.

    A long gap costs nothing and is not cut: it belongs to the unit that ends in it.
    """
    if video.probe is None:
        last = video.first_clip if video.last_clip is None else video.last_clip
        yield _unit(video, video.first_clip, last, 0.0)
        return
    first = video.first_clip
    last = video.probe.n_clips - 1 if video.last_clip is None else video.last_clip
    clip_s = _clip_s(video.probe, estimate)
    # A video that restarts its clock cannot be entered in the middle.
    step = last - first + 1 if video.probe.timeline.restarts else _step(video, clip_s, limits)
    gaps = [(max(a, first), min(b, last)) for a, b in video.probe.gaps if a <= last and b >= first]
    start = first
    while start <= last:
        end, clips = _end(start, step, last, gaps)
        yield _unit(video, start, end, clips * clip_s)
        start = end + 1


def _end(start: int, step: int, last: int, gaps: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the last clip of the unit from `start`, and how many of its clips are in no gap."""
    place, left = start, step
    for a, b in gaps:
        if b < start:
            continue
        if a - place > left:
            break
        left -= a - place
        place = b + 1
    end = min(place + left - 1, last)
    return end, step - left + end - place + 1


def _step(video: Planned, clip_s: float, limits: ShardLimits) -> int:
    """Return the clips of a unit, gaps not counted."""
    probe = video.probe
    assert probe is not None
    most = max(int(limits.seconds * UNIT_SHARE / max(clip_s, 1e-9)), MIN_UNIT_CLIPS)
    # Each unit decodes from the keyframe before it: units shorter than a group of pictures
    # would decode the same pictures again and again.
    group = probe.n_clips * probe.group_s / max(probe.duration_s, 1e-9)
    return min(max(most, ceil(group)), limits.clips)


def _clip_s(probe: Probe, estimate: Estimate) -> float:
    """Estimate the seconds for a clip outside the long gaps."""
    counted = probe.n_clips - sum(last - first + 1 for first, last in probe.gaps)
    cost_s = estimate.unit_s(probe.n_clips - probe.n_empty, probe.decode_s)
    return cost_s / max(counted, 1)


def _unit(video: Planned, first: int, last: int, cost_s: float) -> Unit:
    return Unit(
        video.video_id, video.uri, video.size_bytes, video.etag, first, last, cost_s,
        video.probe, video.error_class, video.message, video.attempts,
    )  # fmt: skip


def pack(units: Iterable[U], limits: ShardLimits) -> Iterator[list[U]]:
    """Group units, in order, into shards within the limits; a shard has at least one unit."""
    shard: list[U] = []
    cost_s, clips = 0.0, 0
    for unit in units:
        full = cost_s + unit.cost_s > limits.seconds or clips + unit.clips > limits.clips
        if shard and (full or len(shard) >= MAX_UNITS):
            yield shard
            shard, cost_s, clips = [], 0.0, 0
        shard.append(unit)
        cost_s += unit.cost_s
        clips += unit.clips
    if shard:
        yield shard
