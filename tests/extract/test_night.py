"""Situations of public bug reports, through the command itself: no file stops a night."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from tests.clipmaker.numbered import Coding, claim_mkv, damage, encode, encrypt, jump, wild
from tests.engine.commands import TINY_FLAGS, run, start, summary, wait_until
from tests.media.truth import OWN

CLAIMS = {
    "says_6e9_s.mkv": 6e12,
    "says_1e8_s.mkv": 1e11,
    "says_minus_1_s.mkv": -1e3,
    "says_nan.mkv": float("nan"),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every other file is one that used to stop a night."""
    folder = tmp_path_factory.mktemp("archive")
    encode(folder / "good.mp4", 100)
    damage(folder / "half_zero.mp4", "libx265", 0.5, "zeros")
    damage(folder / "half_noise.mkv", "libx264", 0.5, "noise")
    encrypt(folder / "locked.mp4")
    wild(folder / "late_3h.mp4", 3 * 3600)
    wild(folder / "late_4s_b.mkv", 4, b_frames=2)
    for name, milliseconds in CLAIMS.items():
        claim_mkv(folder / name, milliseconds)
    jump(folder / "wall_clock.mkv", 1_700_000_000)
    encode(folder / "cut_short.mkv", 250, Coding())
    cut = folder / "cut_short.mkv"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    encode(folder / "one.mp4", 50, Coding(muxer={"movflags": "faststart"}))
    part = (folder / "one.mp4").read_bytes()
    (folder / "joined.mp4").write_bytes(part + part)
    return folder


def rows_of(out: Path) -> dict[str, int]:
    """Rows by file name."""
    counts: dict[str, int] = {}
    for file in (out / "features").glob("*.parquet"):
        for uri in pq.read_table(file, columns=["uri"]).column("uri").to_pylist():
            counts[Path(uri).name] = counts.get(Path(uri).name, 0) + 1
    return counts


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_no_file_stops_a_night(archive: Path, tmp_path: Path, executor: str) -> None:
    out = tmp_path / "out"
    ended = run("extract", archive, "--out", out, *TINY_FLAGS, "--executor", executor, "--json")
    assert ended.returncode == 3, ended.stderr
    found = rows_of(out)
    assert found["good.mp4"] == 4
    assert found["late_3h.mp4"] == found["late_4s_b.mkv"] == 10
    assert {found[name] for name in CLAIMS} == {4}
    assert found["wall_clock.mkv"] == 5  # clip 0, and four after the jump
    assert 5 <= found["half_zero.mp4"] <= 7 and 5 <= found["half_noise.mkv"] <= 8
    assert found["joined.mp4"] == found["one.mp4"] == 2
    failed: list[dict[str, Any]] = json.loads(run("errors", out, "--json").stdout)
    named = {Path(error["uri"]).name for error in failed}
    assert named == {"half_zero.mp4", "half_noise.mkv", "locked.mp4", "cut_short.mkv"}
    [short] = [error for error in failed if error["uri"].endswith("cut_short.mkv")]
    assert "ends at" in short["message"] and "of 10.00 s" in short["message"]
    assert "joined.mp4: another file begins at byte" in ended.stderr
    assert run("verify", out).returncode == 0
    again = run("extract", archive, "--out", out, *TINY_FLAGS, "--executor", "inline", "--json")
    assert summary(again)["totals"]["shards"] == 0


def test_a_jump_of_the_clock_is_classified_in_bounded_memory(tmp_path: Path) -> None:
    """A gap of 54 years is a thousand masked steps, and its times are those of the video."""
    jump(tmp_path / "wall_clock.mkv", 1_700_000_000)
    features, out = tmp_path / "features", tmp_path / "styles"
    inline = ("--executor", "inline", "--device", "cpu")
    assert run("extract", tmp_path, "--out", features, *inline).returncode == 0
    ended = run(
        "classify", features, "--out", out, *inline, "--windows", "--window-seconds", "4",
        "--hop-seconds", "1", "--json",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    shown = json.loads(run("show", out, "--json").stdout)
    assert shown[0]["start_s"] == 0 and shown[0]["end_s"] == 1_700_000_004
    assert max(row["end_s"] for row in shown) == 1_700_000_004
    assert run("verify", out).returncode == 0


def test_limits_on_length_are_settings_with_a_sentence(tmp_path: Path) -> None:
    encode(tmp_path / "long.mp4", 250)
    for number, flags in enumerate((["--max-video-seconds", "5"], ["--max-video-clips", "3"])):
        out = tmp_path / f"out{number}"
        ended = run(
            "extract", tmp_path / "long.mp4", "--out", out, *TINY_FLAGS, "--executor", "inline",
            *flags,
        )  # fmt: skip
        assert ended.returncode == 3, ended.stderr
        [error] = json.loads(run("errors", out, "--json").stdout)
        assert error["error_class"] == "too_large"
        assert flags[0].removeprefix("--").replace("-", "_") in error["message"]


@pytest.mark.parametrize("decoder", ["Hang", "Busy"])
def test_ctrl_c_ends_a_run_whose_decoder_hangs(tmp_path: Path, decoder: str) -> None:
    """Nothing moves, the time-out is far away, and one Ctrl-C is enough."""
    shutil.copy(OWN / "cfr25_bframes.mp4", tmp_path)
    out = tmp_path / "out"
    driver = start(
        "extract", tmp_path, "--out", out, *TINY_FLAGS, "--executor", "inline",
        "--decoder", f"tests.media.hostile:{decoder}", "--decode-timeout-seconds", "1000",
    )  # fmt: skip

    def decodes() -> bool:
        plans = list((out / "plans").glob("p*.parquet"))
        children = psutil.Process(driver.pid).children()
        return any(child.create_time() > plans[0].stat().st_mtime for child in children if plans)

    wait_until(decodes, 120, "a decoder at work")
    time.sleep(3)  # it has reached the place where it hangs
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=400)
    assert driver.returncode == 130
    assert "go on with" in said
