"""Units to shards: how much work is lost at most, and how many files there are.

A unit is a video, or a range of a long one's clips, so that it runs in parallel and resumes in
the middle. A shard is a run of units: about five minutes of estimated work, never more than the
byte limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfeat.plan.estimate import Estimate
from vfeat.plan.unit import U

MAX_UNITS = 2000  # outcomes stand in the file's footer, which is read whole
MIN_UNIT_CLIPS = 8  # below this, seeking costs more than it spreads
LEAST_S = 30.0  # of work in a shard or a unit, however many workers wait
UNIT_SHARE = 0.2  # of a shard's work; what a crashing decoder can cost

Counts = npt.NDArray[np.int64]
Seconds = npt.NDArray[np.float64]


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

    def unit_clips(self, clip_s: float) -> int:
        """Return the clips of a unit: a video of more than twice as many is split.

        Args:
            clip_s: estimated work for a clip, seconds of one worker.
        """
        work_s = max(self.seconds * UNIT_SHARE, min(LEAST_S, self.seconds))
        worth = int(work_s / max(clip_s, 1e-9))
        return max(1, min(max(worth, MIN_UNIT_CLIPS), self.clips // 2))


@dataclass(frozen=True)
class PackedVideos:
    """Whole videos in shards, one entry each, in order.

    Attributes:
        shard: number of the shard, from 0.
        expected: estimated clips.
        cost_s: estimated work until the video ends or is split, seconds of one worker.
        unit_clips: clips of a unit.
    """

    shard: Counts
    expected: Counts
    cost_s: Seconds
    unit_clips: int

    @property
    def shards(self) -> int:
        return int(self.shard[-1]) + 1 if len(self.shard) else 0


def pack_videos(sizes: Counts, estimate: Estimate, limits: ShardLimits) -> PackedVideos:
    """Group whole videos, in order, into shards, from their sizes in bytes alone."""
    expected = estimate.clips(sizes)
    clip_s = estimate.clip_cost_s
    limits = limits.spread(float(expected.sum()) * clip_s, estimate.workers)
    unit_clips = limits.unit_clips(clip_s)
    own = np.minimum(expected, 2 * unit_clips)  # the rest goes to a follow-up plan
    cost_s = own * clip_s + estimate.open_s
    return PackedVideos(_number(cost_s, own, limits), expected, cost_s, unit_clips)


def _number(cost_s: Seconds, clips: Counts, limits: ShardLimits) -> Counts:
    """Number the shards; each has at least one video."""
    until_s, until_clips = np.cumsum(cost_s), np.cumsum(clips)
    shard = np.zeros(len(cost_s), np.int64)
    start = number = 0
    while start < len(cost_s):
        before_s, before = (until_s[start - 1], until_clips[start - 1]) if start else (0.0, 0)
        end = min(
            int(np.searchsorted(until_s, before_s + limits.seconds, "right")),
            int(np.searchsorted(until_clips, before + limits.clips, "right")),
            start + MAX_UNITS,
        )
        end = max(end, start + 1)
        shard[start:end] = number
        start, number = end, number + 1
    return shard


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
