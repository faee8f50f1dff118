"""Units and shards partition the grid, whatever the limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vfeat.media.task import Probe
from vfeat.media.timeline import Timeline
from vfeat.plan.estimate import Estimate
from vfeat.plan.shards import ShardLimits, pack, units_of
from vfeat.plan.unit import Planned

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
