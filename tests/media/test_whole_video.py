"""Tasks of whole videos: the child lays the grid, and the parts of a split video are the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.media.running import LIMITS, SMALL, Ran, events, pool_of, run_all
from tests.media.test_pool import HASTY, VICTIM, hostile
from tests.media.truth import OWN, Video
from vfeat.errors import UnitError
from vfeat.job.recipe import ClipSpec
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import DecodeTask
from vfeat.media.probe import probe
from vfeat.outcome import Outcome
from vfeat.plan.follow_up import follow_up
from vfeat.plan.unit import Unit

SHORT = ClipSpec(4, 0.5, 0.5)


def whole(pool: DecodePool, paths: list[Path], unit_clips: int | None = None) -> Ran:
    ran = Ran()
    for number, path in enumerate(paths):
        size = path.stat().st_size
        pool.submit(DecodeTask(number, str(number), str(path), size, None, 0, None, unit_clips))
    for event in events(pool, len(paths)):
        ran.take(event)
    return ran


def rest(pool: DecodePool, path: Path, outcome: Outcome) -> Ran:
    """Decode what a split video leaves, as its follow-up plan cuts it."""
    unit = Unit(outcome.video_id, str(path), 1, "e", 0, None, 1.0)
    units = [one for shard in follow_up([unit], [outcome]) for one in shard]
    for one in units:
        assert one.probe is not None
        line = one.probe.timeline
        task = DecodeTask(0, one.video_id, str(path), None, line, one.first_clip, one.last_clip)
        pool.submit(task)
    ran = Ran()
    for event in events(pool, len(units)):
        ran.take(event)
    return ran


def test_one_task_gives_the_clips_of_a_probe_and_a_decode(any_video: Video) -> None:
    with pool_of(1, SHORT) as pool:
        two, one = run_all(pool, [any_video.path]), whole(pool, [any_video.path])
    assert two.frames.keys() == one.frames.keys()
    assert all(np.array_equal(two.frames[key], one.frames[key]) for key in two.frames)
    found, outcome = two.probes[0], one.done[0].outcome
    assert outcome.probe == replace(found, warnings=())
    assert (outcome.first_clip, outcome.last_clip) == (0, found.n_clips - 1)
    assert outcome.rows == two.done[0].outcome.rows
    assert set(found.warnings) <= set(outcome.warnings)
    assert outcome.split is None and not outcome.changed


@pytest.mark.parametrize("name", ["cfr25_bframes.mp4", "vfr.mp4", "mpeg2_late_start.ts"])
@pytest.mark.parametrize("unit_clips", [1, 2])
def test_the_parts_of_a_split_video_are_the_whole(name: str, unit_clips: int) -> None:
    path, spec = OWN / name, ClipSpec(4, 0.25, 0.25)
    with pool_of(1, spec) as pool:
        everything, first = whole(pool, [path]), whole(pool, [path], unit_clips)
        outcome = first.done[0].outcome
        assert outcome.split is not None and outcome.probe is not None
        assert outcome.split.last_clip == outcome.probe.n_clips - 1 > outcome.last_clip
        behind = rest(pool, path, outcome)
    parts = {**first.frames, **behind.frames}
    assert len(parts) == len(first.frames) + len(behind.frames)
    assert parts.keys() == everything.frames.keys()
    assert all(np.array_equal(parts[key], everything.frames[key]) for key in parts)


def test_a_video_of_up_to_twice_a_unit_is_not_split() -> None:
    path = OWN / "cfr25_bframes.mp4"
    clips = probe(str(path), None, SHORT, LIMITS).n_clips
    with pool_of(1, SHORT) as pool:
        assert whole(pool, [path], (clips + 1) // 2).done[0].outcome.split is None


def test_a_broken_video_is_one_error_of_the_class_of_its_probe(broken_video: Video) -> None:
    path = broken_video.path
    try:
        found = probe(str(path), None, ClipSpec(), LIMITS, SMALL)
    except UnitError as error:
        with pool_of(1) as pool:
            outcome = whole(pool, [path]).done[0].outcome
        [failed] = outcome.errors
        assert (failed.first_clip, failed.last_clip) == (0, 0)
        assert failed.error_class == error.error_class
        assert (outcome.rows, outcome.probe) == (0, None)
    else:
        with pool_of(1) as pool:
            outcome = whole(pool, [path]).done[0].outcome
        assert outcome.probe is not None and outcome.planned == found.n_clips


def test_a_range_without_a_timeline_is_that_range_of_the_grid() -> None:
    path = OWN / "cfr25_bframes.mp4"
    with pool_of(1, SHORT) as pool:
        everything = whole(pool, [path])
        pool.submit(DecodeTask(0, "0", str(path), None, None, 2, 3))
        ran = Ran()
        for event in events(pool, 1):
            ran.take(event)
        pool.submit(DecodeTask(1, "0", str(path), None, None, 2, 300))
        for event in events(pool, 1):
            ran.take(event)
    assert set(ran.frames) == {(0, 2), (0, 3)}
    assert all(np.array_equal(ran.frames[key], everything.frames[key]) for key in ran.frames)
    [error] = ran.done[1].outcome.errors
    assert error.error_class == "unreadable" and "2 to 300 were planned" in error.message


@pytest.mark.parametrize("decoder", ["Segfault", "Hang"])
def test_a_decoder_that_dies_behind_the_grid_costs_the_rest_only(decoder: str) -> None:
    with pool_of(1, ClipSpec(4, 1.0, 1.0), hostile(decoder), HASTY) as pool:
        outcome = whole(pool, [VICTIM]).done[0].outcome
    assert outcome.probe is not None
    assert outcome.last_clip == outcome.probe.n_clips - 1
    assert outcome.rows + outcome.error_clips == outcome.planned and outcome.error_clips
    assert all(error.attempts == 2 for error in outcome.errors)
