"""Commands that read a dataset end with 0 on a busy machine, too; the long form: exit_codes.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.exit_codes import busy_machine, count_exit_codes, make_dataset

RUNS = 2


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["errors", "status"])
@pytest.mark.parametrize("store", ["", "local://"], ids=["paths", "remote files"])
def test_reading_a_dataset_ends_with_zero_under_load(out: Path, command: str, store: str) -> None:
    with busy_machine():
        assert count_exit_codes(f"{store}{out}", command, RUNS) == {0: RUNS}
