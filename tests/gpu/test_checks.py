"""Every check belongs to a group that runs, and a wrong result is red."""

from __future__ import annotations

import math

import pytest

from benchmarks.gpu.correctness import INFINITE, share
from benchmarks.gpu.groups import GROUPS

pytest.importorskip("triton")


def test_every_check_is_in_one_of_the_groups() -> None:
    from benchmarks.gpu.golden import model_checks
    from benchmarks.gpu.operations import operation_checks

    checks = [*operation_checks("cuda", False), *model_checks("cuda", False)]
    assert {check.group for check in checks} == set(GROUPS)
    assert len({check.name for check in checks}) == len(checks)


@pytest.mark.parametrize(
    ("error", "allowed", "expected"),
    [(1e-6, 2e-6, 0.5), (math.nan, 1.0, INFINITE), (0.0, 0.0, 0.0), (1.0, 0.0, INFINITE)],
)
def test_share_of_what_is_allowed(error: float, allowed: float, expected: float) -> None:
    assert share(error, allowed) == expected
