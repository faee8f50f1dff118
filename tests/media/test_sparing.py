"""Pictures that nobody needs are not decoded, and no clip differs by it."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clipmaker.numbered import (
    DAMAGED,
    MAKERS,
    TS,
    Coding,
    Truth,
    encode,
    number_of,
    wild,
    wild_transport_stream,
)
from tests.media.running import LIMITS, SMALL, settle
from tests.media.truth import OWN, Video
from vfeat.errors import UnitError
from vfeat.job.recipe import ClipSpec, ShotSpec
from vfeat.media.children.child_start import capture_ffmpeg_log
from vfeat.media.clips import Clip, ClipAssembler, Settled
from vfeat.media.container import Opened
from vfeat.media.decoders.av1_headers import read_sequence, refreshes_nothing
from vfeat.media.decoders.base import DecodeRequest
from vfeat.media.decoders.parameter_sets import h264_frames_only, hevc_single_layer
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.decoders.sparing import sparing
from vfeat.media.probe import Kept, probe, probe_source
from vfeat.media.samples import Samples
from vfeat.media.source import locate, no_progress
from vfeat.media.timeline import Grid
from vfeat.video_facts import Timeline

SPECS = {
    "dense": ClipSpec(8, 2.0, 2.0),
    "overlapping": ClipSpec(4, 0.5, 0.3),
    "narrow": ClipSpec(1, 0.04, 0.5),
    "apart": ClipSpec(3, 1.0, 7.0),
    "sparse": ClipSpec(4, 2.0, 2.0, "sparse", 3),
}
# Wrong times among pictures that could be spared.
WRONG: dict[str, Callable[[Path], Truth]] = {
    **{name: MAKERS[name] for name in MAKERS if "_b." in name},
    "late_a_third.mp4": lambda p: wild(p, 0.36, (101,), b_frames=2),
    "late_three_frames.mp4": lambda p: wild(p, 0.12, (100,), b_frames=3),
    "late_one_frame.mp4": lambda p: wild(p, 0.04, (100, 131), b_frames=3),
    "early_two_frames.ts": lambda p: wild_transport_stream(p, -0.08, 110, b_frames=2),
    "early_a_third.ts": lambda p: wild_transport_stream(p, -0.36, 112, b_frames=3),
    "late_and_early.ts": lambda p: wild_transport_stream(p, 0.2, 90, 93, 94, b_frames=2),
}
B_FRAMES = ("cfr25_bframes.mp4", "hevc.mp4", "mpeg2_late_start.ts", "h264_late_start.ts")
WITHOUT = ("vp9.webm", "vfr.mp4", "one_frame.mp4")


@dataclass
class Counts:
    """What the decoder was given: packets of pictures to spare, and all others."""

    spared: int = 0
    given: int = 0


@pytest.fixture(autouse=True)
def complaints() -> Iterator[None]:
    """FFmpeg's complaints are counted, as in a decoder child."""
    level = av.logging.get_level()
    capture_ffmpeg_log()
    yield
    av.logging.set_level(level)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    found, decides = Counts(), PyavDecoder._is_decoded

    def counted(self: PyavDecoder, spare: bool, *others: object) -> bool:
        found.spared += spare
        found.given += not spare
        return decides(self, spare, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(PyavDecoder, "_is_decoded", counted)
    return found


def same(one: list[Settled], other: list[Settled]) -> None:
    """Every clip, empty range and loss of one list is that of the other, pixel by pixel."""
    assert [type(made) for made in one] == [type(made) for made in other]
    for a, b in zip(one, other, strict=True):
        if isinstance(a, Clip) and isinstance(b, Clip):
            assert (a.window, a.lost) == (b.window, b.lost)
            assert np.array_equal(np.stack(a.frames), np.stack(b.frames)), a.window.clip_index
        else:
            assert a == b


def ranges(n_clips: int, seed: int) -> Iterator[tuple[int, int]]:
    """The whole video, one clip, and two ranges at random; long ones are cut."""
    draw = random.Random(seed)
    for first, last in [
        (0, n_clips - 1),
        (n_clips // 3, n_clips // 3),
        *(sorted(draw.choices(range(n_clips), k=2)) for _ in range(2)),
    ]:
        yield first, min(last, first + 40)


def compare(path: Path, spec: ClipSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    found = probe(str(path), None, spec, LIMITS)
    for first, last in ranges(found.n_clips, found.n_clips):
        with monkeypatch.context() as every:
            every.setattr(PyavDecoder, "spare", lambda decoder, samples: None)
            plain = settle(path, spec, first, last, SMALL, found=found)
        same(settle(path, spec, first, last, SMALL, found=found), plain)


def test_clips_are_those_of_a_decoder_of_all_pictures(
    any_video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = any_video.path.stat().st_size < 150_000
    own = any_video.path.parent == OWN
    for name in SPECS if own else ("dense", "sparse") if small else ("dense",):
        compare(any_video.path, SPECS[name], monkeypatch)


@pytest.mark.parametrize("name", [*B_FRAMES, "av1.mp4", "mjpeg.avi", "hole_in_middle.mp4"])
def test_a_decoder_that_a_probe_began_with_makes_the_same_clips(name: str) -> None:
    spec, path, kept = SPECS["overlapping"], OWN / name, Kept()
    source = locate(str(path), None)
    found = probe_source(source, spec, LIMITS, SMALL, kept=kept)
    assert kept.decoder is not None and kept.ticks is not None
    decoder = kept.decoder.resumed(DecodeRequest(source, found.timeline, LIMITS, no_progress))
    made = ClipAssembler(decoder, Grid(spec, found.timeline), SMALL, LIMITS, path.name)
    same(list(made.settle(0, found.n_clips - 1)), settle(path, spec, found=found))
    kept.close()
    assert kept.decoder is None


@pytest.mark.parametrize("name", [*WRONG, *(name for name in DAMAGED if "50" in name)])
def test_clips_of_wrong_times_and_damage_are_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    {**DAMAGED, **WRONG}[name](tmp_path / name)
    for spec in (SPECS["dense"], SPECS["overlapping"]):
        try:
            probe(str(tmp_path / name), None, spec, LIMITS)
        except UnitError as error:
            pytest.skip(f"no video: {error.error_class}")
        compare(tmp_path / name, spec, monkeypatch)


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_clips_of_a_stream_that_lost_a_piece_are_the_same(
    place: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (OWN / "h264_late_start.ts").read_bytes()
    at = int(len(data) / 188 * place) * 188
    path, spec = tmp_path / "lost.ts", SPECS["dense"]
    path.write_bytes(data[:at] + data[at + 188 :])
    found = probe(str(path), None, spec, LIMITS)
    made = settle(path, spec, found=found)
    with monkeypatch.context() as every:
        every.setattr(PyavDecoder, "spare", lambda decoder, samples: None)
        same(made, settle(path, spec, found=found))


@pytest.mark.parametrize(
    ("codec", "kind", "b_frames"),
    [
        ("libx264", "mp4", 3),
        ("libx264", "ts", 7),
        ("libx264", "mkv", 2),
        ("libx265", "mp4", 4),
        ("libx265", "ts", 2),
        ("mpeg4", "mp4", 2),
        ("mpeg2video", "ts", 2),
    ],
)
def test_the_right_frames_of_long_groups_with_many_b_frames(
    codec: str, kind: str, b_frames: int, tmp_path: Path, counts: Counts
) -> None:
    path, spec = tmp_path / f"a.{kind}", ClipSpec(2, 1.0, 1.0)
    options = {
        "libx264": {"preset": "ultrafast", "x264-params": "b-pyramid=normal"},
        "libx265": {"x265-params": f"log-level=none:pools=1:bframes={b_frames}:b-adapt=0"},
    }.get(codec, {})
    container = "mpegts" if kind == "ts" else None
    encode(path, 150, Coding(codec, 50, b_frames, options=options, container=container))
    clips = [one for one in settle(path, spec) if isinstance(one, Clip)]
    numbers = [[number_of(crops[0]) for crops in clip.frames] for clip in clips]
    assert numbers == [[25 * clip + 6, 25 * clip + 18] for clip in range(6)]
    assert counts.spared > 30


@pytest.mark.parametrize("name", B_FRAMES)
def test_fewer_pictures_are_decoded_where_there_are_b_frames(name: str, counts: Counts) -> None:
    assert all(isinstance(one, Clip) for one in settle(OWN / name, SPECS["dense"]))
    assert counts.spared > counts.given / 3


@pytest.mark.parametrize("name", WITHOUT)
def test_all_pictures_are_decoded_where_nothing_proves_that_they_can_be_spared(
    name: str, counts: Counts
) -> None:
    settle(OWN / name, SPECS["dense"])
    assert counts.spared == 0


def test_of_pictures_coded_alone_only_the_chosen_are_decoded(
    tmp_path: Path, counts: Counts
) -> None:
    path, spec = tmp_path / "alone.mov", ClipSpec(2, 1.0, 1.0)
    encode(path, 100, Coding("mjpeg", 1))
    clips = [one for one in settle(path, spec) if isinstance(one, Clip)]
    numbers = [number_of(crops[0]) for clip in clips for crops in clip.frames]
    assert numbers == [n for second in range(4) for n in (25 * second + 6, 25 * second + 18)]
    assert counts.given <= len(numbers) + 4 and counts.spared > 80


def test_pictures_of_av1_that_refresh_nothing_are_dropped(counts: Counts) -> None:
    path = OWN / "av1.mp4"
    settle(path, ClipSpec(2, 2.0, 2.0))
    with Opened(locate(str(path), None), LIMITS.max_frame_pixels) as opened:
        sequence = read_sequence(opened.stream.codec_context.extradata)
        packets = [bytes(one) for one in opened.container.demux(opened.stream) if one.size]
    assert sequence is not None
    last = sum(refreshes_nothing(packet, sequence) for packet in packets)
    assert 0 < counts.spared <= last < len(packets) / 2
    for packet in packets:
        assert not any(refreshes_nothing(packet[:length], sequence) for length in range(12))


@pytest.mark.parametrize("spec", [SPECS["dense"], SPECS["apart"]], ids=["dense", "apart"])
def test_nothing_is_read_behind_the_last_sample(tmp_path: Path, spec: ClipSpec) -> None:
    path = tmp_path / "long.mp4"
    encode(path, 750, Coding(group=25, b_frames=3))
    read = 0

    def progress(reached: int = 0, /) -> None:
        nonlocal read
        read += 1

    settle(path, spec, 0, 1, progress=progress)
    last_sample = 25 * (spec.stride + spec.clip)
    ahead = 40  # what shows that no other picture belongs there, and the first one read twice
    assert read <= last_sample + ahead


def test_streams_of_fields_and_of_layers_are_decoded_whole(tmp_path: Path) -> None:
    fields, layers = tmp_path / "fields.ts", tmp_path / "layers.mp4"
    encode(fields, 50, replace(TS, b_frames=2, options={"flags": "+ildct+ilme"}))
    params = "log-level=none:pools=1:temporal-layers=3:b-adapt=0"
    encode(layers, 50, Coding("libx265", b_frames=4, options={"x265-params": params}))
    whole = tmp_path / "whole.mp4"
    encode(whole, 50, Coding(b_frames=2))
    assert [spares(path) for path in (fields, layers, whole)] == [False, False, True]


def spares(path: Path) -> bool:
    with Opened(locate(str(path), None), LIMITS.max_frame_pixels) as opened:
        assert opened.stream.codec_context.reorder_depth > 0
        grid = Grid(SPECS["dense"], Timeline(1, 25, 0, 50, 50))
        return sparing(opened, Samples(grid, 0, 0)) is not None


@pytest.mark.parametrize("name", ["cfr25_bframes.mp4", "h264_late_start.ts", "hevc.mp4"])
def test_a_header_that_is_cut_anywhere_proves_nothing(name: str) -> None:
    with Opened(locate(str(OWN / name), None), LIMITS.max_frame_pixels) as opened:
        context = opened.stream.codec_context
        header, is_h264 = context.extradata or b"", context.codec.name == "h264"
    proves = h264_frames_only if is_h264 else hevc_single_layer
    assert proves(header) and not proves(b"") and not proves(None)
    for length in range(len(header)):
        proves(header[:length])  # an answer, and no exception
    assert not proves(header[: len(header) // 8])


@given(
    spec=st.sampled_from(
        [
            ClipSpec(4, 1.0, 1.0),
            ClipSpec(3, 2.0, 0.3),
            ClipSpec(1, 0.04, 0.5),
            ClipSpec(2, 0.5, 3.0),
            ClipSpec(5, 1.0, 1.0, "sparse", 4),
            ClipSpec(2, 0.5, 0.5, "shots", shots=ShotSpec("content", 27.0, 0.1)),
        ]
    ),
    ms=st.integers(40, 30_000),
    spans=st.lists(st.tuples(st.integers(-500, 31_000), st.integers(1, 3_000)), max_size=30),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_samples_are_those_of_all_windows(
    spec: ClipSpec, ms: int, spans: list[tuple[int, int]], data: st.DataObject
) -> None:
    cuts = (ms // 3, ms // 2) if spec.shots and ms > 900 else ()
    grid = Grid(spec, Timeline(1, 1000, 100, ms, max(ms // 40, 1), cuts=cuts))
    first = data.draw(st.integers(0, grid.n_clips - 1))
    last = data.draw(st.integers(first, grid.n_clips - 1))
    windows = [grid.window(clip) for clip in range(first, last + 1)]
    ticks = sorted(tick for window in windows for tick in window.sample_ticks)
    ends = sorted(window.end_tick - 1 for window in windows) if spec.sampling != "sparse" else []
    samples = Samples(grid, first, last)
    for start, length in spans:
        end = start + length
        shown = any(start <= tick < end for tick in ticks)
        ended = any(start <= tick < end for tick in ends)
        said = samples.any_in(start, end)
        assert said or not shown
        assert not said or shown or ended
        moments = [each[place] for each in (ticks, ends)
                   if (place := bisect_left(each, start)) < len(each)]  # fmt: skip
        following = samples.next_from(start)
        if moments and ticks[-1] >= start:
            assert following is not None and start <= following
            assert following <= ticks[bisect_left(ticks, start)]
        if not moments:
            assert following is None


def test_a_gap_of_years_costs_no_walk_through_its_windows() -> None:
    spec = ClipSpec(4, 1.0, 1.0)
    years = 10**12
    samples = Samples(Grid(spec, Timeline(1, 1000, 0, years, 50)), 0, 10**9 - 1)
    assert samples.any_in(years - 2000, years - 1500)
    assert samples.any_in(0, years)
    assert samples.next_from(years - 2000) == years - 2000 + 125
    assert Fraction(years, 1000) > spec.clip
