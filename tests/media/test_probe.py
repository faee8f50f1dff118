"""What a probe says of each file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.media.running import LIMITS
from tests.media.truth import OWN, Video
from vfeat.job.recipe import ClipSpec
from vfeat.media.cost import decode_cost_s
from vfeat.media.probe import probe
from vfeat.video_facts import Timeline

ENTRIES = {e["file"]: e for e in json.loads((OWN / "clips.json").read_text())}


def test_frames_and_length_are_exact(healthy_video: Video) -> None:
    found = probe(str(healthy_video.path), None, ClipSpec(), LIMITS)
    assert found.scanned
    assert found.timeline.n_frames == len(healthy_video.times)
    if healthy_video.duration_s is not None:
        assert found.timeline.duration_s == healthy_video.duration_s
    assert found.decode_s > 0


@pytest.mark.parametrize("name", [n for n, e in ENTRIES.items() if e["kind"] == "healthy"])
def test_the_picture_is_described_as_shown(name: str) -> None:
    found, entry = probe(str(OWN / name), None, ClipSpec(), LIMITS), ENTRIES[name]
    described = (found.width, found.height, found.rotation, found.codec)
    assert described == (entry["width"], entry["height"], entry["rotation"], entry["codec"])


def test_gaps_are_known_before_decoding() -> None:
    found = probe(str(OWN / "vfr_gap.mp4"), None, ClipSpec(8, 1.0, 1.0), LIMITS)
    assert (found.n_clips, found.n_empty) == (13, 8)


def test_a_late_start_is_the_origin() -> None:
    found = probe(str(OWN / "h264_late_start.ts"), None, ClipSpec(), LIMITS)
    assert found.timeline.origin_tick * found.timeline.tick_s == 600


def test_the_default_stream_is_ffmpegs_best(corpus: Path) -> None:
    found = probe(str(corpus / "real" / "nasa_13013_multistream.mp4"), None, ClipSpec(), LIMITS)
    assert (found.width, found.height, found.timeline.n_frames) == (480, 270, 390)
    cover = probe(str(corpus / "made" / "cover_art_first.mp4"), None, ClipSpec(), LIMITS)
    assert (cover.codec, cover.timeline.n_frames) == ("h264", 132)


def test_time_that_starts_again_is_noticed(corpus: Path) -> None:
    found = probe(str(corpus / "made" / "resolution_change.ts"), None, ClipSpec(), LIMITS)
    assert found.timeline.restarts
    assert found.duration_s == pytest.approx(2.4)


def test_an_hour_of_720p_costs_about_what_was_measured() -> None:
    line = Timeline(1, 30, 0, 30 * 3600, 30 * 3600)
    dense = decode_cost_s("h264", 1280 * 720, ClipSpec(), line, 30)
    assert 600 < dense < 1200  # 1,000 hours of 720p30 cost about 230 core-hours
    sparse = decode_cost_s("h264", 1280 * 720, ClipSpec(8, sampling="sparse"), line, 720)
    assert sparse < dense / 10
