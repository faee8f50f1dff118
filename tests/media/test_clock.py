"""Times of packets: what is wild, what is a gap, what is a new start."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfeat.media.clock import MAX_BURST, Clock

MS = Fraction(1, 1000)


@dataclass(frozen=True)
class Packet:
    pts: int | None
    dts: int | None
    duration: int | None = 40


def clock(*, reorder: int = 0, continues: bool = True) -> Clock[Packet]:
    return Clock(MS, 40, reorder, continues=continues)


def ticks(times: list[int], found: Clock[Packet] | None = None) -> list[int | None]:
    """Presentation ticks of packets that are shown when they are decoded."""
    return [t.pts for t in (found or clock()).times(Packet(time, time) for time in times)]


@pytest.mark.parametrize("step", [0, -1, -400])
def test_small_steps_back_are_left_alone(step: int) -> None:
    found = clock()
    assert ticks([1000, 1000 + step], found) == [1000, 1000 + step]
    assert found.restarts == 0


def test_time_that_starts_again_goes_on() -> None:
    found = clock()
    again = list(range(3, 3 + 40 * 30, 40))
    assert ticks([5000, 5040, 5080, *again], found)[:6] == [5000, 5040, 5080, 5120, 5160, 5200]
    assert found.restarts == 1


def test_a_start_at_the_very_end_goes_on_too() -> None:
    assert ticks([5000, 5040, 5080, 3, 43, 83]) == [5000, 5040, 5080, 5120, 5160, 5200]


@given(
    place=st.integers(1, 99),
    burst=st.integers(1, MAX_BURST),
    off_ms=st.one_of(st.integers(1100, 10**13), st.integers(-(10**13), -1100)),
    step=st.sampled_from([1, 33, 40, 1000, 10_000]),
)
def test_wild_times_cost_their_own_packets_and_no_others(
    place: int, burst: int, off_ms: int, step: int
) -> None:
    true = [step * n for n in range(130)]
    away = abs(off_ms) > 2 * step * (burst + 1)  # else it is no step away at such a pace
    wrong = {n: true[n] + off_ms for n in range(place, place + burst)} if away else {}
    found = clock()
    given_ticks = [wrong.get(n, tick) for n, tick in enumerate(true)]
    assert ticks(given_ticks, found) == [None if n in wrong else t for n, t in enumerate(true)]
    assert (found.restarts, found.wild) == (0, len(wrong))
    assert found.end == true[-1] + 40


@given(st.integers(600, 10**14), st.integers(1, 60))
def test_a_jump_forward_that_stays_is_a_gap(jump: int, place: int) -> None:
    true = [40 * n + (jump if n >= place else 0) for n in range(90)]
    found = clock()
    assert ticks(true, found) == true
    assert (found.restarts, found.wild) == (0, 0)


def b_frames(groups: int, gap_after: int = -1, gap: int = 0) -> list[Packet]:
    """I B B P B B ...: each third picture is decoded before the two shown before it."""
    shown = [n * 40 + (gap if n > gap_after >= 0 else 0) for n in range(3 * groups + 1)]
    order = [0]
    for group in range(groups):
        order += [3 * group + 3, 3 * group + 1, 3 * group + 2]
    decoded = [shown[0] - 40, *shown]
    return [Packet(shown[n], decoded[place]) for place, n in enumerate(order)]


def test_pictures_decoded_early_are_not_wild() -> None:
    packets = b_frames(30)
    assert [t.pts for t in clock(reorder=2).times(packets)] == [p.pts for p in packets]


@pytest.mark.parametrize("gap_after", [3, 45, 88, 89])
def test_a_gap_behind_pictures_decoded_early_is_kept(gap_after: int) -> None:
    packets = b_frames(30, gap_after, 3_600_000)
    assert [t.pts for t in clock(reorder=2).times(packets)] == [p.pts for p in packets]


@given(st.integers(1, 60), st.integers(2000, 10**10))
def test_one_late_picture_among_reordered_ones_costs_itself(place: int, late_ms: int) -> None:
    packets = b_frames(30)
    wrong = Packet((packets[place].pts or 0) + late_ms, packets[place].dts)
    given_packets = [*packets[:place], wrong, *packets[place + 1 :]]
    found = [t.pts for t in clock(reorder=2).times(given_packets)]
    assert found == [None if n == place else p.pts for n, p in enumerate(packets)]


def test_entered_in_mid_video_the_line_is_never_moved() -> None:
    found = clock(continues=False)
    later = [40 * n for n in range(100, 130)]
    assert ticks([99_999_999, *later], found) == [99_999_999, *later]
    assert found.restarts == 0


def test_packets_without_times_pass() -> None:
    found = clock()
    assert [t.pts for t in found.times([Packet(None, None)] * 3)] == [None] * 3
    assert (found.end, found.wild) == (None, 0)


def test_the_end_is_that_of_the_last_picture_and_not_of_the_longest() -> None:
    found = clock()
    packets = [Packet(0, 0, 10**12), Packet(40, 40), Packet(80, 80, 100)]
    assert [t.pts for t in found.times(packets)] == [0, 40, 80]
    assert found.end == 180


def test_below_zero_is_a_time_like_any_other() -> None:
    """The last minute before the 33-bit wrap: FFmpeg gives it negative ticks."""
    found = clock()
    true = [40 * n - 30_000 for n in range(250)]
    assert ticks(true, found) == true
    assert found.end == true[-1] + 40
