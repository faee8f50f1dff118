"""Runs whose recipe names the GPU's decoder: refused without one, and the same rows with one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import vfeat
from tests.engine.commands import TINY_FLAGS, run
from tests.engine.jobs import tiny_job
from tests.media.fake_device import HOST
from tests.media.truth import OWN
from vfeat.cli.report import print_summary
from vfeat.engine.executor import Capacity
from vfeat.engine.summary import RunSummary
from vfeat.errors import EnvironmentMissing
from vfeat.extract import gpu_decoding
from vfeat.extract.gpu_decoding import decoding_device
from vfeat.extract.run import run_job

NAMES = ("cfr25_bframes.mp4", "odd_size.webm", "hevc.mp4")
pytestmark = pytest.mark.skipif(os.path.exists("/dev/nvidia0"), reason="a machine with a GPU")


def extract(folder: Path, decoder: str) -> RunSummary:
    return run_job(tiny_job(folder, *(OWN / name for name in NAMES), decoder=decoder))


def test_without_a_gpu_nothing_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run("extract", OWN / NAMES[0], "--out", out, *TINY_FLAGS, "--decoder", "nvdec")
    assert ran.returncode == 4
    for words in ("needs an NVIDIA GPU", "--decoder pyav", "vfeat doctor"):
        assert words in " ".join(ran.stderr.split())
    assert not out.exists()


def test_doctor_gives_the_reason() -> None:
    findings = json.loads(run("doctor", "--json").stdout)
    (found,) = (f for f in findings if f["what"] == "decoder nvdec")
    assert found["state"] == "note" and "no NVIDIA driver" in found["found"]


def test_a_worker_with_a_gpu_that_does_not_decode_gives_the_reason() -> None:
    assert decoding_device("pyav", gpu=True) is None
    with pytest.raises(EnvironmentMissing, match=r"no NVIDIA driver is installed.*--decoder pyav"):
        decoding_device("nvdec", gpu=True)


def test_a_gpu_that_no_child_can_use_is_found_out_by_a_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu_decoding, "CUDA", "tests.media.fake_device:BrokenDevice")
    with pytest.raises(EnvironmentMissing, match="cannot use its GPU: out of memory"):
        decoding_device("nvdec", gpu=True)


def test_rows_are_those_of_pyav_and_what_it_decoded_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capacity = Capacity(1, 2, True)
    monkeypatch.setattr(
        "vfeat.engine.inline_executor.InlineExecutor.capacity", lambda self: capacity
    )
    monkeypatch.setattr("vfeat.extract.worker_pool.decoding_device", lambda decoder, gpu: HOST)
    ours = extract(tmp_path / "nvdec", "nvdec")
    monkeypatch.undo()
    theirs = extract(tmp_path / "pyav", "pyav")
    assert (ours.totals.rows, ours.totals.fallbacks) == (theirs.totals.rows, 1)
    assert theirs.totals.fallbacks == 0
    print_summary(ours, again="")
    assert "decoded with PyAV" in (shown := capsys.readouterr().out) and "1 videos" in shown
    a, b = (embeddings(tmp_path / name) for name in ("nvdec", "pyav"))
    assert a.keys() == b.keys() and len(a) == ours.totals.rows
    for key, vector in b.items():
        assert a[key] == pytest.approx(vector, abs=0.02)


def embeddings(folder: Path) -> dict[tuple[str, int], np.ndarray]:
    rows = vfeat.open(str(folder)).to_arrow(["uri", "clip_index", "embedding"]).to_pylist()
    return {(row["uri"], row["clip_index"]): np.array(row["embedding"]) for row in rows}
