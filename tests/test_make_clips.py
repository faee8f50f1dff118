"""The committed clips are what clips.json says, and carry the barcode it says."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CLIPS = Path(__file__).parent / "clips"
TRUTHS: list[dict[str, Any]] = json.loads((CLIPS / "clips.json").read_text(encoding="utf-8"))
HEALTHY = [truth for truth in TRUTHS if truth["kind"] == "healthy"]


def name(truth: dict[str, Any]) -> str:
    return str(truth["file"])


@pytest.mark.parametrize("truth", TRUTHS, ids=name)
def test_committed_file_is_the_one_described(truth: dict[str, Any]) -> None:
    data = (CLIPS / truth["file"]).read_bytes()
    assert len(data) == truth["size_bytes"]
    assert hashlib.sha256(data).hexdigest() == truth["sha256"]


def test_every_file_is_described_and_all_are_small(demo_clips: Path) -> None:
    files = {path.name: path.stat().st_size for path in CLIPS.iterdir()}
    assert files.keys() == {truth["file"] for truth in TRUTHS} | {"clips.json"}
    assert sum(files.values()) < 1_500_000
    demo = [path.stat().st_size for path in demo_clips.glob("*.mp4")]
    assert len(demo) == 10
    assert sum(demo) < 1_500_000


@pytest.mark.parametrize("truth", HEALTHY, ids=name)
def test_healthy_clip_shows_its_frames_at_its_times(truth: dict[str, Any]) -> None:
    import av

    from tests.clipmaker.scenes import read_barcode

    ticks, numbers = [], []
    with av.open(CLIPS / truth["file"]) as container:
        for frame in container.decode(video=0):
            turned = np.rot90(frame.to_ndarray(format="rgb24"), k=frame.rotation // 90)
            assert turned.shape[:2] == (truth["height"], truth["width"])
            assert frame.pts is not None
            ticks.append(frame.pts * frame.time_base)
            numbers.append(read_barcode(turned))
        tick_s = Fraction(truth["tick_s"])
        last_s = ticks[-1] - ticks[0] + frame.duration * frame.time_base
    assert [round((time - ticks[0]) / tick_s) for time in ticks] == truth["ticks"]
    assert numbers == truth["barcodes"]
    assert float(last_s) == pytest.approx(truth["duration_s"], abs=0.002)


def test_barcode_survives_resizing() -> None:
    import cv2

    from tests.clipmaker.scenes import read_barcode, waves

    for number, frame in enumerate(waves(320, 180, 5)):
        small = cv2.resize(frame, (113, 64), interpolation=cv2.INTER_AREA)
        assert read_barcode(small) == number
