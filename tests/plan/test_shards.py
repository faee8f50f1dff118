"""Units and shards partition the grid, whatever the limits."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfeat.plan.estimate import Estimate
from vfeat.plan.shards import ShardLimits, pack, units_of
from vfeat.plan.unit import Planned
from vfeat.video_facts import Probe, Timeline

ESTIMATE = Estimate(0.5, 2, 1, "a test")


def planned(name: str, clips: int, restarts: bool = False) -> Planned:
    line = Timeline(1, 1000, 0, clips * 1000, clips * 25, restarts)
    probe = Probe("mp4", "h264", 320, 180, 0, line, clips, 0, clips * 0.1, True)
    return Planned(name, f"/videos/{name}", 1, "e", {}, probe)


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=20),
    st.floats(1, 1000),
    st.integers(1, 300),
)
def test_every_clip_is_in_one_unit_and_every_unit_in_one_shard(
    sizes: list[int], seconds: float, clips: int
) -> None:
    videos = [planned(f"v{i}", n) for i, n in enumerate(sizes)]
    limits = ShardLimits(seconds, clips)
    units = [unit for video in videos for unit in units_of(video, ESTIMATE, limits)]
    shards = list(pack(units, limits))
    assert [unit for shard in shards for unit in shard] == units
    for video, size in zip(videos, sizes, strict=True):
        mine = [u for u in units if u.video_id == video.video_id]
        assert [c for u in mine for c in range(u.first_clip, u.last_clip + 1)] == list(range(size))
    for shard in shards:
        assert sum(u.clips for u in shard) <= clips
        assert len(shard) == 1 or sum(u.cost_s for u in shard) <= seconds


def test_a_video_that_restarts_its_clock_is_never_entered_in_the_middle() -> None:
    limits = ShardLimits(10, 1000)
    assert len(list(units_of(planned("a", 400), ESTIMATE, limits))) > 1
    assert len(list(units_of(planned("b", 400, restarts=True), ESTIMATE, limits))) == 1


def test_an_unreadable_video_is_planned_as_its_clip_0() -> None:
    video = Planned("x", "/x", 1, "e", {}, None, "unreadable", "/x: not a video", 1)
    [unit] = units_of(video, ESTIMATE, ShardLimits(10, 10))
    assert (unit.first_clip, unit.last_clip, unit.error_class) == (0, 0, "unreadable")


@given(st.data())
def test_long_gaps_are_parts_of_units_and_cost_nothing(data: st.DataObject) -> None:
    runs = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    holes = data.draw(st.lists(st.integers(1000, 10**9), min_size=len(runs), max_size=len(runs)))
    gaps, clips = [], 0
    for run, hole in zip(runs, holes, strict=True):
        gaps.append((clips + run, clips + run + hole - 1))
        clips += run + hole
    line = Timeline(1, 1000, 0, clips * 1000, 25)
    empty = sum(holes)
    probe = Probe("mp4", "h264", 320, 180, 0, line, clips, empty, 1.0, True, tuple(gaps))
    video = Planned("v", "/v", 1, "e", {}, probe)
    most = data.draw(st.integers(8, 80))
    limits = ShardLimits(data.draw(st.floats(1, 1000)), most)
    units = list(units_of(video, ESTIMATE, limits))
    assert units[0].first_clip == 0 and units[-1].last_clip == clips - 1
    assert all(a.last_clip + 1 == b.first_clip for a, b in itertools.pairwise(units))
    for unit in units:
        inside = [(a, b) for a, b in gaps if a >= unit.first_clip and b <= unit.last_clip]
        assert unit.clips - sum(b - a + 1 for a, b in inside) <= most
    assert len(units) <= sum(runs) / 8 + len(runs) + 1
    total_s = ESTIMATE.unit_s(sum(runs), 1.0)
    assert sum(unit.cost_s for unit in units) == pytest.approx(total_s)


def test_a_unit_is_at_least_a_group_of_pictures() -> None:
    """Each unit decodes from the keyframe before it: of one keyframe, one unit is made."""
    line = Timeline(1, 1000, 0, 600_000, 15_000)
    for group_s, most in ((600.0, 1), (100.0, 6), (2.0, 100)):
        probe = Probe("mpegts", "h264", 128, 128, 0, line, 300, 0, 60.0, True, (), group_s)
        video = Planned("v", "/v", 1, "e", {}, probe)
        units = list(units_of(video, ESTIMATE, ShardLimits(10, 100_000)))
        assert len(units) <= most
        assert sum(unit.clips for unit in units) == 300
