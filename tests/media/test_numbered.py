"""Clocks, headers and bytes gone wrong: the right frames, whatever the units, and an end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from math import floor
from pathlib import Path

import pytest

from tests.clipmaker.numbered import DAMAGED, MAKERS, Truth, encrypt, number_of
from tests.media.running import LIMITS, settle
from vfeat.errors import UnitError
from vfeat.job.recipe import ClipSpec, FrameSpec
from vfeat.media.clips import Clip, Empty, Lost
from vfeat.media.probe import probe
from vfeat.video_facts import Probe

SPEC = ClipSpec(6, 1.5, 1.5)
APART = ClipSpec(3, 0.5, 7.0)
FRAME = FrameSpec(size=64)
MANY = 2000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("numbered")


_made: dict[Path, Truth] = {}


def made(folder: Path, name: str) -> tuple[Path, Truth]:
    """A file, drawn once, and what it shows."""
    path = folder / name
    if path not in _made:
        _made[path] = {**MAKERS, **DAMAGED}[name](path)
    return path, _made[path]


def expected(truth: Truth, spec: ClipSpec, clip: int, tick_s: Fraction) -> list[int] | None:
    """Numbers of a clip's frames, the slow way; None where no frame begins or is new."""
    start = clip * spec.stride
    step = spec.clip / (2 * spec.num_frames)
    samples = [start + step * (2 * n + 1) for n in range(spec.num_frames)]
    # containers round times to their ticks
    frames = [(round(time / tick_s) * tick_s, number) for time, number in truth.frames]
    if clip and not any(start <= time < start + spec.clip for time, _ in frames):
        return None
    return [
        max((pair for pair in frames if pair[0] <= sample), default=frames[0])[1]
        for sample in samples
    ]


def rows(
    path: Path, spec: ClipSpec, found: Probe, first: int = 0, last: int | None = None
) -> dict[int, object]:
    """Numbers, "empty" or "lost" by clip; of long ranges the ends only."""
    settled: dict[int, object] = {}
    for one in settle(path, spec, first, last, FRAME, found=found):
        if isinstance(one, Clip):
            settled[one.window.clip_index] = [number_of(crops[0]) for crops in one.frames]
            continue
        clips = one.last_clip - one.first_clip + 1
        ends = range(one.first_clip, one.last_clip + 1) if clips < MANY else ()
        kind = {Empty: "empty", Lost: "lost"}[type(one)]
        settled |= dict.fromkeys([*ends, one.first_clip, one.last_clip], kind)
    return settled


def cuts(clips: list[int], n_clips: int) -> Iterator[list[tuple[int, int]]]:
    """Ways to cut a video into units: each clip alone, and some at random."""
    yield [(clip, clip) for clip in clips]
    draw = random.Random(n_clips)
    for _ in range(3):
        starts = sorted({0, *draw.sample(clips, min(3, len(clips)))})
        yield [
            (a, b - 1) for a, b in zip(starts, [*starts[1:], n_clips], strict=True) if a <= b - 1
        ]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("spec", [SPEC, APART], ids=["dense", "apart"])
def test_frames_are_the_right_ones_and_the_same_in_any_units(
    folder: Path, name: str, spec: ClipSpec
) -> None:
    path, truth = made(folder, name)
    found = probe(str(path), None, spec, LIMITS)
    beyond = truth.duration_s - spec.clip / 2
    assert abs(found.timeline.duration_s - truth.duration_s) <= Fraction(1, 20)
    assert found.n_clips == 1 + max(0, floor(beyond / spec.stride))
    whole = rows(path, spec, found)
    for clip, numbers in whole.items():
        wanted = expected(truth, spec, clip, found.timeline.tick_s)
        assert numbers == ("empty" if wanted is None else wanted), clip
    for units in cuts(sorted(whole), found.n_clips):
        parts: dict[int, object] = {}
        for first, last in units:
            parts |= rows(path, spec, found, first, last)
        assert {clip: parts[clip] for clip in whole} == whole


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_costs_what_is_damaged_and_no_more(folder: Path, name: str) -> None:
    path, truth = made(folder, name)
    try:
        found = probe(str(path), None, SPEC, LIMITS)
    except UnitError as error:
        assert "_5." in name and error.error_class in ("undecodable", "unreadable")
        return
    whole = rows(path, SPEC, found)
    assert sorted(whole) == list(range(found.n_clips))
    assert truth.lost_from_s is not None
    for clip, numbers in whole.items():
        if (clip + 1) * SPEC.stride < truth.lost_from_s - 2:
            assert numbers == expected(truth, SPEC, clip, found.timeline.tick_s)
        elif clip * SPEC.stride > truth.lost_from_s + 2 and "mpeg" not in name:
            assert numbers == "lost"
    for first in (0, found.n_clips // 2, found.n_clips - 1):
        assert sorted(rows(path, SPEC, found, first, found.n_clips - 1))[0] == first


def test_an_encrypted_file_is_an_error_and_an_end(tmp_path: Path) -> None:
    path = tmp_path / "locked.mp4"
    encrypt(path)
    with pytest.raises(UnitError) as caught:
        probe(str(path), None, SPEC, LIMITS)
    assert caught.value.error_class == "undecodable"
    assert "encrypted" in caught.value.message


COSTLY = {
    "one_key_frame.ts": 750,
    "one_key_frame.mp4": 750,
    "key_frame_a_quarter_minute.ts": 375,
    "intra_refresh.ts": 500,  # pictures are whole again after some, but no packet is a key frame
    "before_wrap.ts": 25,
    "jump_a_day.mp4": 12,
    "late_key_frame.ts": 25,
    "joined_new_codec.ts": 100,
}
STRIDES = {
    "dense": SPEC,
    "apart": APART,
    "far_apart": ClipSpec(4, 1.0, 10.0),
    "rare": ClipSpec(2, 0.2, 3.3),
}


@pytest.mark.parametrize("name", COSTLY)
@pytest.mark.parametrize("spec", STRIDES.values(), ids=STRIDES)
def test_packets_read_are_in_proportion_to_the_unit(
    folder: Path, name: str, spec: ClipSpec
) -> None:
    """At most twice the packets of the unit, and one group of pictures before it.

    A unit shorter than a group, which no plan has, may look for its key frame through another.
    """
    path, truth = made(folder, name)
    found = probe(str(path), None, spec, LIMITS)
    n = min(found.n_clips, 40)
    for first, last in {(0, n - 1), (n // 2, n - 1), (n // 3, n // 2), (n - 1, n - 1)}:
        count = 0

        def progress(reached: int = 0, /) -> None:
            nonlocal count
            count += 1

        settle(path, spec, first, last, FRAME, found=found, progress=progress)
        begin, end = first * spec.stride, last * spec.stride + spec.clip
        inside = sum(begin <= time < end for time, _ in truth.frames)
        some = 100  # the first frame, what is read ahead, and the step back of a seek
        groups = 1 if first == 0 or inside >= COSTLY[name] else 2
        assert count <= 2 * inside + groups * COSTLY[name] + some, (first, last, inside)
