"""Whatever a decoder does, every clip is settled once, in order, and there is an end."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.media.running import LIMITS, read_tick, write_tick
from vfeat.job.recipe import ClipSpec, FrameSpec
from vfeat.media.clips import Clip, ClipAssembler, Empty, Lost, Settled
from vfeat.media.decoders.base import Decoder, DecodeStats, Frame
from vfeat.media.timeline import Grid
from vfeat.video_facts import Timeline

FRAME = FrameSpec(size=16)
SPECS = [ClipSpec(4, 1.0, 1.0), ClipSpec(3, 2.0, 0.7), ClipSpec(1, 0.5, 3.0)]


def picture(tick: int) -> Frame:
    return Frame(tick, lambda: write_tick(tick, 16))


@dataclass
class Hostile:
    """Reads a script of ticks, perhaps for ever, and lies about all that it is asked."""

    script: list[int]
    for_ever: bool
    lies: list[int]
    stats: DecodeStats = field(default_factory=DecodeStats)
    place: int = 0

    def read(self) -> Frame | None:
        if self.place >= len(self.script) and not (self.for_ever and self.script):
            return None
        tick = self.script[self.place % len(self.script)]
        self.place += 1
        return picture(tick)

    def skip_to(self, tick: int) -> None:
        self.place = max(0, self.place + self._lie() % 5 - 2)

    def promised(self, after: int, until: int) -> int:
        return self._lie()

    def end_tick(self) -> int:
        return self._lie() * 100

    def interval(self) -> int:
        return max(1, self._lie())

    def rest(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _lie(self) -> int:
        return self.lies[self.place % len(self.lies)]


def covered(settled: Iterator[Settled]) -> list[int]:
    """First and last clip of each that is settled, flat."""
    found: list[int] = []
    for one in settled:
        if isinstance(one, Clip):
            found += [one.window.clip_index, one.window.clip_index]
        else:
            found += [one.first_clip, one.last_clip]
    return found


@given(
    script=st.lists(st.integers(-(10**5), 10**10), max_size=40),
    for_ever=st.booleans(),
    lies=st.lists(st.integers(0, 10**6), min_size=1, max_size=7),
    spec=st.sampled_from(SPECS),
    seconds=st.integers(1, 10**9),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_every_clip_is_settled_once_by_any_decoder(
    script: list[int],
    for_ever: bool,
    lies: list[int],
    spec: ClipSpec,
    seconds: int,
    data: st.DataObject,
) -> None:
    line = Timeline(1, 1000, 0, seconds * 1000, 25)
    grid = Grid(spec, line)
    first = data.draw(st.integers(0, grid.n_clips - 1))
    last = min(grid.n_clips - 1, first + data.draw(st.integers(0, 50)))
    decoder: Decoder = Hostile(script, for_ever, lies)
    made = ClipAssembler(decoder, grid, FRAME, LIMITS, "hostile.mp4")
    ends = covered(made.settle(first, last))
    assert ends[0] == first and ends[-1] == last
    assert all(a <= b for a, b in zip(ends[::2], ends[1::2], strict=True))
    assert ends[2::2] == [end + 1 for end in ends[1:-1:2]]


def test_a_billion_clips_without_a_frame_are_one_range() -> None:
    grid = Grid(SPECS[0], Timeline(1, 1000, 0, 10**12, 25))
    made = ClipAssembler(Hostile([], False, [0]), grid, FRAME, LIMITS, "none.mp4")
    [lost] = made.settle(0, grid.n_clips - 1)
    assert isinstance(lost, Lost) and (lost.first_clip, lost.last_clip) == (0, 10**9 - 1)


@dataclass
class Seeking:
    """An honest decoder: may begin at key frames, gives what its stream holds.

    Attributes:
        ticks: of the frames in display order, wrong ones among them.
        keys: places in `ticks` at which decoding may begin.
    """

    ticks: list[int]
    keys: list[int]
    stats: DecodeStats = field(default_factory=DecodeStats)
    place: int = 0
    seen: list[int] = field(default_factory=list)

    def read(self) -> Frame | None:
        if self.place >= len(self.ticks):
            return None
        tick = self.ticks[self.place]
        self.place += 1
        return picture(tick)

    def skip_to(self, tick: int) -> None:
        reachable = [key for key in self.keys if self.ticks[key] <= tick]
        if reachable:
            self.place = max(self.place, reachable[-1])

    def promised(self, after: int, until: int) -> int:
        known = sorted(self.ticks)
        return max(0, bisect_right(known, until) - bisect_right(known, after))

    def end_tick(self) -> int:
        return max(self.ticks) + 40

    def interval(self) -> int:
        return 40

    def rest(self) -> None:
        pass

    def close(self) -> None:
        pass


def numbers(settled: Iterator[Settled]) -> dict[int, object]:
    found: dict[int, object] = {}
    for one in settled:
        if isinstance(one, Clip):
            found[one.window.clip_index] = [read_tick(crops) for crops in one.frames]
        else:
            kind = {Empty: "empty", Lost: "lost"}[type(one)]
            found |= dict.fromkeys(range(one.first_clip, one.last_clip + 1), kind)
    return found


@given(
    steps=st.lists(st.sampled_from([1, 33, 40, 40, 40, 500, 4000]), min_size=20, max_size=120),
    every=st.integers(1, 15),
    wrong=st.dictionaries(st.integers(5, 15), st.integers(-3000, 3000), max_size=2),
    spec=st.sampled_from(SPECS),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_rows_do_not_depend_on_the_units(
    steps: list[int], every: int, wrong: dict[int, int], spec: ClipSpec, data: st.DataObject
) -> None:
    true = np.cumsum([0, *steps]).tolist()
    keys = list(range(0, len(true), every))
    # One wrong time at a time, not on a key frame: entries are looked over by the scout.
    ticks = list(true)
    for place, off in wrong.items():
        lonely = not {place - 1, place + 1, place - 2, place + 2} & wrong.keys()
        if lonely and place not in keys and abs(off) > 3 * max(steps):
            ticks[place] = true[place] + off
    line = Timeline(1, 1000, 0, true[-1] + 40, len(true))
    grid = Grid(spec, line)

    def run(first: int, last: int) -> dict[int, object]:
        decoder: Decoder = Seeking(ticks, keys)
        return numbers(ClipAssembler(decoder, grid, FRAME, LIMITS, "a.mp4").settle(first, last))

    whole = run(0, grid.n_clips - 1)
    assert sorted(whole) == list(range(grid.n_clips))
    starts = sorted({0, *data.draw(st.sets(st.integers(0, grid.n_clips - 1), max_size=6))})
    parts: dict[int, object] = {}
    for first, last in zip(starts, [*(s - 1 for s in starts[1:]), grid.n_clips - 1], strict=True):
        parts |= run(first, last)
    assert parts == whole


@pytest.mark.parametrize("spec", SPECS)
def test_presented_frames_are_the_progress(spec: ClipSpec) -> None:
    grid = Grid(spec, Timeline(1, 1000, 500, 8000, 200))
    seen: list[int] = []

    def progress(reached: int = 0, /) -> None:
        seen.append(reached)

    ticks = [500 + 40 * n for n in range(200)]
    decoder: Decoder = Seeking(ticks, [0])
    list(ClipAssembler(decoder, grid, FRAME, LIMITS, "a.mp4", progress).settle(0, 2))
    assert seen[0] == 1 and seen == sorted(seen)
