"""Every reader of docs/guide/readers.md reads every row."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.guide_readers import ROWS, examples, make_dataset, package_of, rows_of

LIGHT = ("vfeat", "pandas", "polars", "DuckDB", "torch", "Hugging Face datasets", "Daft", "LanceDB")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("readers"))


@pytest.mark.parametrize("title", LIGHT)
def test_a_reader_of_the_guide_reads_every_row(
    title: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = package_of(examples()[title])
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; run python -m tests.guide_readers where it is")
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    assert rows_of(title, tmp_path, dataset) == ROWS


def test_every_example_is_run_here_or_by_the_command() -> None:
    assert set(examples()) == {*LIGHT, "Ray Data"}
