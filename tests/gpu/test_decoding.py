"""The GPU's decoder is compared where there is one; where there is none, that is no failure."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import decoding
from benchmarks.gpu.assignment import Assignment
from benchmarks.gpu.decoding import compare_decoders

WRITES = "import sys; open(sys.argv[3], 'w').write('{\"videos\": []}');"


@pytest.mark.parametrize(
    ("program", "recorded", "problem"),
    [
        (WRITES, {"videos": []}, None),
        (f"{WRITES} sys.exit(1)", {"videos": []}, "clips or colours differ"),
        ("import sys; sys.exit('not measured: no driver')", {"not_measured": "no driver"}, None),
        ("1 / 0", None, "nvdec: ZeroDivisionError"),
    ],
    ids=["same", "different", "none", "broken"],
)
def test_what_comes_of_the_comparison(
    program: str, recorded: object, problem: str | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def python(*arguments: object) -> list[str]:
        assert arguments[:2] == ("-m", "benchmarks.nvdec")
        return [sys.executable, "-c", program, *map(str, arguments[2:])]

    monkeypatch.setattr(decoding, "python", python)
    job = Assignment(tmp_path / "result.json", tmp_path, time.monotonic() + 60, rehearse=False)
    found = compare_decoders(job, tmp_path)
    assert job.recorded.get("nvdec") == recorded
    assert bool(found) == bool(problem) and (not problem or problem in found[0])
