"""The breaker opens on one cause everywhere, and stays shut on scattered bad files."""

from __future__ import annotations

import pytest

from vfeat.engine.breaker import Breaker
from vfeat.errors import CircuitOpen

BAD = ("undecodable", "/videos/a.mp4: no frame decodes")


def test_it_opens_when_the_first_units_all_fail() -> None:
    breaker = Breaker(5, 0.5, "probing")
    with pytest.raises(
        CircuitOpen, match=r"first 5 units all failed while probing.*a\.mp4"
    ) as error:
        breaker.record([BAD] * 5)
    assert error.value.exit_code == 3


def test_one_good_unit_among_the_first_keeps_it_shut() -> None:
    Breaker(5, 0.5, "probing").record([BAD] * 4 + [None] + [BAD] * 50)


def test_it_opens_on_the_share_of_one_class_later() -> None:
    breaker = Breaker(5, 0.5, "extracting")
    breaker.record([None] * 100)
    with pytest.raises(CircuitOpen, match="storage") as error:
        breaker.record([("storage", "bucket is away")] * 200)
    assert error.value.exit_code == 5


def test_scattered_classes_do_not_open_it() -> None:
    breaker = Breaker(5, 0.5, "extracting")
    kinds = [None, ("undecodable", "a"), ("unreadable", "b"), ("crashed", "c")]
    breaker.record(kinds * 200)  # type: ignore[arg-type]
