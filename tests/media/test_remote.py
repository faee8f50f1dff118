"""Videos behind a network: the same clips, fewer bytes, failures that say storage."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np
import pytest

from tests.clipmaker.numbered import MAKERS
from tests.media.running import LIMITS, SMALL, Ran, events, pool_of
from tests.media.truth import OWN, Video
from tests.media.web import Web, serve
from vfeat.errors import SourceChanged, UnitError
from vfeat.job.recipe import ClipSpec, DecodeLimits
from vfeat.media import probe as probing
from vfeat.media.children.task import DecodeTask
from vfeat.media.container import Opened
from vfeat.media.packets import PacketReader
from vfeat.media.probe import probe
from vfeat.media.source import locate, no_progress, spooled

IMPATIENT = DecodeLimits(timeout_s=2.0)
SPEC = ClipSpec(4, 0.5, 0.5)


@pytest.fixture
def web() -> Iterator[Web]:
    with serve(OWN) as served:
        yield served


def test_a_look_from_afar_plans_the_same_clips(
    healthy_video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = probe(str(healthy_video.path), None, SPEC, LIMITS)
    monkeypatch.setattr(probing, "SMALL_BYTES", 0)
    with serve(healthy_video.path.parent) as web:
        uri = f"{web.address}/{quote(healthy_video.name)}"
        there = probe(uri, healthy_video.path.stat().st_size, SPEC, LIMITS)
    hidden = healthy_video.name in {"editlist_cut.mp4", "resolution_change.ts"}
    if not hidden:  # frames behind an edit list, and restarts, are seen only by a scan
        assert there.timeline == here.timeline
    assert there.timeline.origin_tick == here.timeline.origin_tick


@pytest.mark.parametrize("spool_bytes", [0, 1 << 30], ids=["ranges", "spooled"])
def test_clips_are_those_of_the_local_file(web: Web, spool_bytes: int) -> None:
    names = ["cfr25_bframes.mp4", "h264_late_start.ts", "vp9.webm"]
    limits = DecodeLimits(spool_bytes=spool_bytes)
    decoded: list[Ran] = []
    for folder in (str(OWN), web.address):
        ran = Ran()
        with pool_of(1, SPEC, SMALL, limits) as pool:
            for number, name in enumerate(names):
                line = probe(str(OWN / name), None, SPEC, LIMITS).timeline
                size = (OWN / name).stat().st_size
                pool.submit(DecodeTask(number, name, f"{folder}/{name}", size, line, 0, 4))
            for event in events(pool, len(names)):
                ran.take(event)
        decoded.append(ran)
    here, there = decoded
    assert here.order == there.order
    assert all((here.frames[key] == there.frames[key]).all() for key in here.order)


def test_a_late_unit_of_a_large_file_reads_its_part(corpus: Path) -> None:
    path = corpus / "real" / "water_bottle_drumming_512.mp4"
    with serve(path.parent) as web:
        line = probe(str(path), None, SPEC, LIMITS).timeline
        with pool_of(1, SPEC, SMALL) as pool:
            size = path.stat().st_size
            pool.submit(DecodeTask(0, path.name, f"{web.address}/{path.name}", size, line, 0, 1))
            ran = Ran()
            for event in events(pool, 1):
                ran.take(event)
        assert ran.outcomes[0].rows == 2
        assert sum(web.sent) < size * 0.8


def test_missing_and_failing_are_storage(web: Web) -> None:
    uri = f"{web.address}/nowhere.mp4"
    with pytest.raises(UnitError) as caught:
        probe(uri, None, SPEC, IMPATIENT)
    assert caught.value.error_class == "storage"
    web.broken = True
    with pytest.raises(UnitError) as caught:
        probe(f"{web.address}/cfr25_bframes.mp4", 41394, SPEC, IMPATIENT)
    assert caught.value.error_class == "storage"


def test_a_download_has_no_name_to_be_left_behind(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = locate(f"{web.address}/vp9.webm", (OWN / "vp9.webm").stat().st_size)
    with spooled(source, no_progress) as copy:
        assert copy.path is not None
        assert Path(copy.path).read_bytes() == (OWN / "vp9.webm").read_bytes()
        assert probe(copy.path, None, SPEC, LIMITS).timeline.n_frames == 75
        assert list(tmp_path.iterdir()) == []


def test_another_content_is_no_error_of_the_video(tmp_path: Path) -> None:
    """Whether it changes before it is opened, or while FFmpeg reads it."""
    make_long(tmp_path / "long.ts")
    with serve(tmp_path) as web:
        size = (tmp_path / "long.ts").stat().st_size
        assert size > 1 << 20
        web.headers = {"ETag": '"one"'}
        source = locate(f"{web.address}/long.ts", size, etag="one")
        with Opened(source, 1 << 26) as opened:
            packets = PacketReader(opened, no_progress).packets()
            next(iter(packets))
            web.headers = {"ETag": '"two"'}
            with pytest.raises(SourceChanged, match="etag one then"):
                list(packets)
            with pytest.raises(SourceChanged):
                PacketReader(opened, no_progress).seek(150_000)
        with pytest.raises(SourceChanged):
            Opened(source, 1 << 26)
        assert source.glance(10) == b""
        with pytest.raises(SourceChanged), spooled(source, no_progress):
            pass
        unlisted = locate(f"{web.address}/long.ts", size)
        with Opened(unlisted, 1 << 26):
            pass


def make_long(path: Path) -> None:
    """Write noise of more than a block of reading."""
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.bit_rate = 320, 240, 20_000_000
        for number in range(60):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, number * 7, 1), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


@pytest.mark.parametrize(
    "name",
    [
        "says_1e9_s.flv",
        "says_6e9_s.mkv",
        "says_an_hour.mkv",
        "says_nan.mkv",
        "says_a_day_in_mvhd.mp4",
        "before_wrap.ts",
        "late_3h.mp4",
        "late_9h.ts",
        "jump_to_wall_clock.mkv",
    ],
)
def test_a_look_from_afar_believes_packets_too(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = MAKERS[name](tmp_path / name)
    monkeypatch.setattr(probing, "SMALL_BYTES", 0)
    with serve(tmp_path) as web:
        size_bytes = (tmp_path / name).stat().st_size
        found = probe(f"{web.address}/{name}", size_bytes, ClipSpec(), LIMITS)
    assert abs(found.duration_s - float(truth.duration_s)) < 0.05
