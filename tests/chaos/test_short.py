"""The short form of the chaos: one round in a folder and one on a store, every row exact."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.stage import Stage, open_stage
from tests.s3.server import S3Server

SLOW = 12
SURELY = 2  # faults that strike before the work is done, on a fast machine as on a slow one


@pytest.fixture(scope="module")
def stage(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("chaos"), SLOW, s3) as made:
        yield made


def test_rows_are_exact_whatever_dies_around_a_folder(stage: Stage) -> None:
    result = stage.act(
        "folder", remote=False, planted=False,
        kinds=["actor killed", "raylet killed", "driver stopped 3 s", "no descriptors"],
    )  # fmt: skip
    assert result.problems == [], result
    assert len(result.struck) >= SURELY, result


def test_rows_are_exact_whatever_a_store_does(stage: Stage) -> None:
    result = stage.act(
        "store", remote=True, planted=False,
        kinds=["storm of 503", "driver killed", "answer to PUT lost", "connections refused"],
    )  # fmt: skip
    assert result.problems == [], result
    assert len(result.struck) >= SURELY, result
