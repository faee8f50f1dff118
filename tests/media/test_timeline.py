"""The grid: exact, and a property of the video alone."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden_files import golden_folder
from tests.media.truth import clip_count, sample_times
from vfeat.job.recipe import ClipSpec
from vfeat.media.timeline import Grid, count_clips, find_gaps, sparse_indices
from vfeat.video_facts import Timeline

GOLDEN = golden_folder("videomamba/preprocess")

specs = st.builds(
    ClipSpec,
    num_frames=st.integers(1, 32),
    clip_s=st.sampled_from([0.1, 0.3, 1.0, 2.0, 2.56, 10.0]),
    stride_s=st.sampled_from([0.1, 0.7, 1.0, 2.0, 3.3, 60.0]),
)
lines = st.builds(
    Timeline,
    num=st.sampled_from([1, 1001]),
    den=st.sampled_from([25, 1000, 12800, 30000, 90000]),
    origin_tick=st.integers(-1000, 2**33),
    duration_ticks=st.integers(1, 100_000),
    n_frames=st.integers(1, 1000),
)


@given(specs, lines)
@settings(max_examples=200, deadline=None)
def test_a_clip_exists_when_half_of_its_window_is_inside(spec: ClipSpec, line: Timeline) -> None:
    if line.duration_s / spec.stride > 2000:
        return
    assert count_clips(spec, line.duration_s) == clip_count(spec, line.duration_s)


@given(specs, lines, st.integers(0, 500))
@settings(max_examples=200, deadline=None)
def test_thresholds_in_ticks_say_what_seconds_say(
    spec: ClipSpec, line: Timeline, clip_index: int
) -> None:
    window = Grid(spec, line).window(clip_index)
    for sample, tick in zip(sample_times(spec, clip_index), window.sample_ticks, strict=True):
        assert (tick - line.origin_tick) * line.tick_s <= sample
        assert (tick + 1 - line.origin_tick) * line.tick_s > sample
    start = spec.stride * clip_index
    for edge, tick in ((start, window.start_tick), (start + spec.clip, window.end_tick)):
        assert (tick - line.origin_tick) * line.tick_s >= edge
        assert (tick - 1 - line.origin_tick) * line.tick_s < edge


def test_a_tenth_of_a_second_is_a_tenth() -> None:
    line = Timeline(1, 10, 0, 1000, 1000)
    grid = Grid(ClipSpec(num_frames=1, clip_s=0.1, stride_s=0.1), line)
    assert [grid.window(k).start_tick for k in range(1000)] == list(range(1000))
    assert grid.n_clips == 1000


@given(
    st.lists(st.integers(0, 20_000), min_size=1, max_size=30),
    st.sampled_from([(2.0, 2.0), (1.0, 0.5), (0.5, 3.0)]),
)
@settings(max_examples=200, deadline=None)
def test_empty_windows_are_counted_without_looking_at_each(
    steps: list[int], shape: tuple[float, float]
) -> None:
    spec = ClipSpec(clip_s=shape[0], stride_s=shape[1])
    ticks = np.cumsum([0, *steps])
    line = Timeline(1, 1000, 0, int(ticks[-1]) + 40, len(ticks))
    grid = Grid(spec, line)
    windows = [grid.window(k) for k in range(1, grid.n_clips)]
    empty = sum(not ((ticks >= w.start_tick) & (ticks < w.end_tick)).any() for w in windows)
    assert sum(last - first + 1 for first, last in find_gaps(grid, ticks)) == empty


def test_sparse_frame_numbers_are_the_official_ones() -> None:
    entries = json.loads((GOLDEN / "sparse_indices.json").read_text())
    assert len(entries) > 100
    for entry in entries:
        found = sparse_indices(
            entry["frames"], entry["num_frames"], entry["segments"], entry["clip"]
        )
        assert found == entry["indices"], entry


def test_sparse_clips_without_times_take_the_middle_of_each_frame() -> None:
    spec = ClipSpec(num_frames=4, sampling="sparse", sparse_clips=2)
    line = Timeline(1, 1000, 100, 4000, 100)
    ticks = np.arange(100) * 40 + 100
    for clip_index in range(2):
        blind = Grid(spec, line).window(clip_index).sample_ticks
        seeing = Grid(spec, line, ticks).window(clip_index).sample_ticks
        frames = [np.searchsorted(ticks, samples, "right").tolist() for samples in (blind, seeing)]
        assert frames[0] == frames[1]


def test_sparse_clips_span_the_whole_video() -> None:
    spec = ClipSpec(num_frames=4, sampling="sparse", sparse_clips=3)
    grid = Grid(spec, Timeline(1, 1000, 100, 4000, 100))
    assert grid.n_clips == 3
    assert {(grid.window(k).start_s, grid.window(k).end_s) for k in range(3)} == {(0.0, 4.0)}


def test_one_sparse_clip_is_near_the_middle_frames_of_the_multi_modal_code() -> None:
    """It cuts the frames' numbers into equal parts, and takes the middle one of each."""
    for frames in (*range(8, 300), 1000, 2999):
        cuts = np.linspace(0, frames, 9).astype(int)
        middle = [(first + end - 1) // 2 for first, end in pairwise(cuts)]
        found = np.array(sparse_indices(frames, 8, 1, 0))
        assert np.abs(found - middle).max() <= 1
