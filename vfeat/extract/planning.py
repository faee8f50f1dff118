"""New videos become plans, from the listing alone; what failed before may be planned again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.outcome import Outcome
from vfeat.plan.estimate import Estimate
from vfeat.plan.follow_up import follow_up
from vfeat.plan.shards import ShardLimits, pack, pack_videos
from vfeat.plan.unit import Lease, Unit
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables import layout
from vfeat.tables.plans import (
    PLAN_VIDEOS,
    plan_list,
    plan_table,
    publish_plan,
    read_plan,
    videos_table,
    write_plan,
)


class Planner:
    """Maker of plans.

    A plan's number identifies the plans that its author had read: it is one more than their
    count, and the store gives each number once. So two drivers cannot both plan a video, however
    they race.

    Args:
        root: the dataset.
        plans: how many numbered plans were there when the videos to plan were chosen.
        estimate: cost of a video of so many bytes.
        limits: bounds of a shard.
        column_types: of the lists' further columns.
    """

    def __init__(
        self,
        root: Root,
        plans: int,
        estimate: Estimate,
        limits: ShardLimits,
        column_types: Mapping[str, pa.DataType],
    ) -> None:
        self.root = root
        self.estimate = estimate
        self.limits = limits
        self.column_types = column_types
        self._plans = plans
        self._lock = here().lock()  # planning thread and driver

    def plan(self, videos: pa.Table) -> str | None:
        """Publish a plan of whole videos; None when other drivers have planned them all.

        Args:
            videos: columns video_id, uri, size_bytes, etag, source, problem, and `extra.` ones.
        """
        with self._lock:
            while len(videos):
                sizes = videos.column("size_bytes").to_numpy()
                packed = pack_videos(sizes, self.estimate, self.limits)
                table = videos_table(videos, packed, self.column_types)
                plan = publish_plan(self.root, self._plans + 1, table)
                self._plans += 1
                if plan is not None:
                    return plan
                # Another driver took that number, and may have planned some of the same videos.
                theirs = read_plan(self.root, layout.plan_name(self._plans), ["video_id"])
                known = pc.is_in(videos.column("video_id"), theirs.column("video_id").unique())
                videos = videos.filter(pc.invert(known))
        return None

    def plan_ranges(
        self, units: Sequence[Unit], plans: int, apart: Callable[[Unit], str] = lambda unit: ""
    ) -> list[str] | None:
        """Publish plans of units that failed before.

        Args:
            units: what to do again.
            plans: how many numbered plans there were when the failures were read.
            apart: units for which this differs are in different shards.

        Returns:
            Names of the plans; None when another driver planned meanwhile: look again.
        """
        names: list[str] = []
        units = sorted(units, key=apart)
        with self._lock:
            for start in range(0, len(units), PLAN_VIDEOS):
                part = units[start : start + PLAN_VIDEOS]
                limits = self.limits.spread(
                    sum(unit.cost_s for unit in part), self.estimate.workers
                )
                groups = groupby(part, key=apart)
                shards = (shard for _, group in groups for shard in pack(group, limits))
                table = plan_table(shards, {})
                plan = publish_plan(self.root, plans + len(names) + 1, table)
                if plan is None:
                    return names or None
                names.append(plan)
        # `plan` finds these numbers taken, and looks at what other drivers wrote before them.
        return names


def count_numbered(root: Root) -> int:
    """Count the plans that have a number: all but the follow-ups."""
    return sum(not layout.is_follow_up(plan) for plan in plan_list(root))


def publish_follow_up(root: Root, lease: Lease, outcomes: Iterable[Outcome]) -> str | None:
    """Publish the plan that continues the split videos of a committed shard; None without any."""
    shards = follow_up(lease.to_do(Unit), outcomes)
    if not shards:
        return None
    plan = layout.follow_up_name(lease.shard)
    write_plan(root, plan, plan_table(shards, {}))  # there already: the same, by another driver
    return plan


def retried(
    failed: Iterable[Mapping[str, Any]], estimate: Estimate, unit_clips: int
) -> Iterator[Unit]:
    """Make units of failed clip ranges; a video that never opened is done whole.

    Args:
        failed: rows of `failed_ranges`.
        estimate: cost of a clip.
        unit_clips: clips of a unit.
    """
    for row in failed:
        first, last = row["first_clip"], row["last_clip"]
        whole = not row["opened"] and first == 0
        expected = _clips(row["size_bytes"], estimate) if whole else last - first + 1
        clips = min(expected, 2 * unit_clips)
        yield Unit(
            row["video_id"], row["uri"], row["size_bytes"], row["etag"], first,
            None if whole else last, clips * estimate.clip_cost_s + estimate.open_s,
            source=row["source"], unit_clips=unit_clips, expected=expected,
            attempts=row["attempts"],
        )  # fmt: skip


def _clips(size_bytes: int, estimate: Estimate) -> int:
    return int(estimate.clips(np.array([size_bytes], np.int64))[0])
