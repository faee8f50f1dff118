"""Shards partition the videos and follow-up plans partition the grid, whatever the limits."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfeat.outcome import Outcome, Split
from vfeat.plan.estimate import Estimate
from vfeat.plan.follow_up import follow_up
from vfeat.plan.shards import MAX_UNITS, ShardLimits, pack, pack_videos
from vfeat.plan.unit import Unit
from vfeat.video_facts import Probe, Timeline

ESTIMATE = Estimate(0.5, 0.1, 1000.0, 0, 2, 1, "a test")


def opened(clips: int, gaps: tuple[tuple[int, int], ...] = ()) -> Probe:
    line = Timeline(1, 1000, 0, clips * 1000, 25)
    return Probe("mp4", "h264", 320, 180, 0, line, clips, 0, 1.0, True, gaps)


@given(
    st.lists(st.integers(0, 10**7), min_size=1, max_size=300),
    st.floats(1, 1000),
    st.integers(1, 300),
)
def test_every_video_is_in_one_shard_within_the_limits(
    sizes: list[int], seconds: float, clips: int
) -> None:
    limits = ShardLimits(seconds, clips)
    packed = pack_videos(np.array(sizes, np.int64), ESTIMATE, limits)
    assert len(packed.shard) == len(packed.expected) == len(packed.cost_s) == len(sizes)
    numbers = packed.shard.tolist()
    assert [number for number, _ in itertools.groupby(numbers)] == list(range(packed.shards))
    for number in range(packed.shards):
        mine = packed.shard == number
        own = np.minimum(packed.expected[mine], 2 * packed.unit_clips)
        alone = mine.sum() == 1
        assert mine.sum() <= MAX_UNITS
        assert alone or own.sum() <= clips
        assert alone or packed.cost_s[mine].sum() <= seconds + 1e-6
    assert (packed.expected >= 1).all()
    assert packed.unit_clips >= 1


def test_a_small_corpus_is_spread_over_the_workers() -> None:
    sizes = np.full(64, 20_000, np.int64)
    many = Estimate(1.0, 0.1, 1000.0, 0, 8, 1, "a test")
    assert pack_videos(sizes, many, ShardLimits(3600, 10**6)).shards > 8
    assert pack_videos(sizes, ESTIMATE, ShardLimits(3600, 10**6)).shards < 16


def test_under_the_sparse_protocol_every_video_has_as_many_clips() -> None:
    sparse = Estimate(0.5, 0.1, 0.0, 3, 2, 1, "a test")
    assert pack_videos(np.array([1, 10**9]), sparse, ShardLimits(10, 100)).expected.tolist() == [
        3,
        3,
    ]


@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0, 100)), min_size=1, max_size=50),
    st.floats(1, 1000),
    st.integers(1, 300),
)
def test_packed_units_keep_their_order(
    pairs: list[tuple[int, float]], seconds: float, clips: int
) -> None:
    units = [Unit(f"v{i}", "/v", 1, "e", 0, n - 1, cost) for i, (n, cost) in enumerate(pairs)]
    shards = list(pack(units, ShardLimits(seconds, clips)))
    assert [unit for shard in shards for unit in shard] == units
    assert all(len(s) == 1 or sum(u.clips for u in s) <= clips for s in shards)


@given(st.integers(2, 2000), st.data())
def test_a_follow_up_plan_holds_what_is_left_once(clips: int, data: st.DataObject) -> None:
    done = data.draw(st.integers(1, clips - 1))
    step = data.draw(st.integers(1, 200))
    unit = Unit("v", "/v", 1, "e", 0, None, 3.0, source="list.csv", unit_clips=step)
    outcome = Outcome(
        "v", "/v", 0, done - 1, done, probe=opened(clips), split=Split(clips - 1, step)
    )
    whole = Outcome("w", "/w", 0, 4, 5, probe=opened(5))
    other = Unit("w", "/w", 1, "e", 0, None, 1.0)
    shards = follow_up([unit, other], [outcome, whole])
    units = [one for shard in shards for one in shard]
    covered = [c for u in units for c in range(u.first_clip, (u.last_clip or 0) + 1)]
    assert covered == list(range(done, clips))
    assert all(len(shard) <= Split(0, 0).shard_units for shard in shards)
    assert all(u.clips <= step and u.probe == outcome.probe and u.etag == "e" for u in units)
    assert follow_up([other], [whole]) == []


@given(st.data())
def test_long_gaps_are_parts_of_ranges_and_are_not_cut(data: st.DataObject) -> None:
    runs = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    holes = data.draw(st.lists(st.integers(1000, 10**9), min_size=len(runs), max_size=len(runs)))
    gaps, clips = [], 0
    for run, hole in zip(runs, holes, strict=True):
        gaps.append((clips + run, clips + run + hole - 1))
        clips += run + hole
    step = data.draw(st.integers(1, 80))
    first = data.draw(st.integers(0, runs[0] - 1))
    ranges = list(opened(clips, tuple(gaps)).ranges(first, clips - 1, step))
    assert ranges[0][0] == first and ranges[-1][1] == clips - 1
    assert all(a[1] + 1 == b[0] for a, b in itertools.pairwise(ranges))
    for start, end in ranges:
        inside = sum(b - a + 1 for a, b in gaps if a >= start and b <= end)
        assert end - start + 1 - inside <= step
    assert len(ranges) <= sum(runs) / step + len(runs) + 1


@pytest.mark.parametrize("seed", range(3))
def test_a_split_in_a_gap_makes_no_billion_units(seed: int) -> None:
    rng = random.Random(seed)
    clips = 850_000_000
    probe = opened(clips, ((rng.randint(5, 40), clips - rng.randint(5, 40)),))
    outcome = Outcome("v", "/v", 0, 3, 4, probe=probe, split=Split(clips - 1, 4))
    units = [u for s in follow_up([Unit("v", "/v", 1, "e", 0, None, 1.0)], [outcome]) for u in s]
    assert len(units) < 30
