"""Frames in the order of their times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfeat.media.decoders.base import Frame
from vfeat.media.decoders.display_order import MAX_STALLED, StalledDecoder, in_display_order


def ordered(ticks: list[int]) -> list[int]:
    frames = iter([Frame(tick, lambda: np.zeros((1, 1, 3), np.uint8)) for tick in ticks])
    return [frame.tick for frame in in_display_order(lambda: next(frames, None))]


def test_an_ordered_stream_passes_whole() -> None:
    assert ordered([-5, 0, 0, 3, 9, 9, 12]) == [-5, 0, 0, 3, 9, 9, 12]
    assert ordered([]) == []


@given(st.integers(0, 47), st.integers(21, 10**6).filter(lambda late: late % 10))
def test_a_late_frame_costs_itself(place: int, late: int) -> None:
    true = [10 * n for n in range(50)]
    wrong = [tick + late * (n == place) for n, tick in enumerate(true)]
    assert ordered(wrong) == [t for n, t in enumerate(wrong) if n != place]


@given(st.integers(0, 47))
def test_of_two_that_changed_places_one_is_kept(place: int) -> None:
    true = [10 * n for n in range(50)]
    swapped = [*true[:place], true[place + 1], true[place], *true[place + 2 :]]
    assert ordered(swapped) == [t for n, t in enumerate(true) if n != place]


@given(st.integers(2, 49), st.integers(20, 10**6))
def test_an_early_frame_costs_itself(place: int, early: int) -> None:
    true = [10 * n for n in range(50)]
    wrong = [tick - early * (n == place) for n, tick in enumerate(true)]
    assert ordered(wrong) == [t for n, t in enumerate(true) if n != place]


@given(st.lists(st.integers(-(10**6), 10**6), max_size=60))
def test_times_never_decrease(ticks: list[int]) -> None:
    found = ordered(ticks)
    assert found == sorted(found)
    assert set(found) <= set(ticks)


@pytest.mark.parametrize("walk", [lambda n: 7, lambda n: -n, lambda n: n % 100])
def test_a_decoder_that_leads_nowhere_is_given_up(walk: object) -> None:
    with pytest.raises(StalledDecoder):
        ordered([walk(n) for n in range(2 * MAX_STALLED + 200)])  # type: ignore[operator]
