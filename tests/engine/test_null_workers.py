"""The short form of `python -m benchmarks.engine feed`: every lease is handed out and returned."""

from __future__ import annotations

from pathlib import Path

from benchmarks.engine import feed


def test_null_workers_finish_all_leases(tmp_path: Path) -> None:
    assert feed(tmp_path, workers=8, leases=200)["leases"] == 200
