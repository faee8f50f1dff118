"""The breaker opens on one cause everywhere, and stays shut on scattered or damaged files."""

from __future__ import annotations

import pytest

from vfeat.engine.breaker import SETUP, WINDOW, Breaker
from vfeat.errors import ERROR_CLASSES, CircuitOpen, ErrorClass

BAD = ("undecodable", "/videos/a.mp4: no frame decodes")


def test_it_opens_when_the_first_units_of_a_new_dataset_all_fail() -> None:
    breaker = Breaker(5, 0.5, is_new=True)
    with pytest.raises(CircuitOpen, match=r"first 5 units all failed.*a\.mp4") as error:
        breaker.record([BAD] * 5)
    assert error.value.exit_code == 3


def test_one_good_unit_among_the_first_keeps_it_shut() -> None:
    Breaker(5, 0.5, is_new=True).record([BAD] * 4 + [None] + [BAD] * 50)


def test_bad_new_files_at_the_head_of_a_night_block_nothing() -> None:
    """Twenty-five were once enough to block every good file behind them, night after night."""
    Breaker(25, 0.5, is_new=False).record([BAD] * 10_000)


@pytest.mark.parametrize("kind", sorted(SETUP))
def test_a_broken_set_up_opens_it_late_in_a_run(kind: ErrorClass) -> None:
    breaker = Breaker(25, 0.5, is_new=False)
    breaker.record([None] * 1_000_000)
    with pytest.raises(CircuitOpen, match=f"101 of the last 200 units failed with {kind}") as error:
        breaker.record([(kind, "somewhere: something")] * 200)
    assert breaker.seen == 1_000_101
    assert error.value.exit_code == {"storage": 5, "internal": 1}.get(kind, 3)


@pytest.mark.parametrize("kind", sorted(set(ERROR_CLASSES) - SETUP))
def test_a_folder_of_damaged_files_late_in_a_run_does_not(kind: ErrorClass) -> None:
    breaker = Breaker(25, 0.5, is_new=True)
    breaker.record([None] * WINDOW)
    breaker.record([(kind, "a")] * 10_000)


def test_a_new_dataset_of_mostly_damaged_files_opens_it_once_enough_is_seen() -> None:
    breaker = Breaker(25, 0.5, is_new=True)
    with pytest.raises(CircuitOpen, match="150 of the first 200 units"):
        breaker.record([None, BAD, BAD, BAD] * 50)


def test_scattered_classes_do_not_open_it() -> None:
    breaker = Breaker(5, 0.5, is_new=True)
    kinds = [None, ("undecodable", "a"), ("unreadable", "b"), ("crashed", "c")]
    breaker.record(kinds * 200)  # type: ignore[arg-type]
