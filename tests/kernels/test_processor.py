"""What `/proc/cpuinfo` says, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfeat.kernels import processor as module
from vfeat.kernels.processor import processor

TWO_CORES = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC: a name with a colon

processor\t: 1
vendor_id\t: other
"""


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "cpuinfo")
    return tmp_path / "cpuinfo"


def test_a_field_of_the_first_processor(cpuinfo: Path) -> None:
    cpuinfo.write_text(TWO_CORES)
    assert processor("vendor_id") == "AuthenticAMD"
    assert processor("model name") == "AMD EPYC: a name with a colon"
    assert processor("vendor") == ""


def test_no_such_file(cpuinfo: Path) -> None:
    assert processor("vendor_id") == ""
