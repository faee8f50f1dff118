"""Damaged and hostile files: what decodes becomes rows, what does not is named."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from tests.media.running import LIMITS, SMALL, seconds, settle
from tests.media.truth import OWN, Video, expected_frames
from vfeat.errors import UnitError
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.clips import Clip, Empty, Lost
from vfeat.media.decoders.base import DecodeRequest
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.probe import probe
from vfeat.media.source import locate, no_progress
from vfeat.storage.uris import local_uri

SPEC = ClipSpec(4, 0.5, 0.5)


def failure(path: Path, limits: DecodeLimits = LIMITS) -> UnitError:
    with pytest.raises(UnitError) as caught:
        probe(str(path), None, ClipSpec(), limits, FrameSpec())
    assert path.name in caught.value.message
    return caught.value


def test_every_frame_that_can_be_had_is_had(broken_video: Video) -> None:
    if not broken_video.times:
        assert failure(broken_video.path).error_class == (broken_video.error_class or "undecodable")
        return
    line = probe(str(broken_video.path), None, SPEC, LIMITS).timeline
    decoder = PyavDecoder(
        DecodeRequest(locate(str(broken_video.path), None), line, LIMITS, no_progress)
    )
    times = []
    while (frame := decoder.read()) is not None:
        times.append((frame.tick - line.origin_tick) * line.tick_s)
    decoder.close()
    assert len(times) == len(broken_video.times)
    given, known = (Counter(round(float(t), 3) for t in ts) for ts in (times, broken_video.times))
    # ffprobe guesses another time for the one or two frames that come much too late
    assert (given - known).total() <= 2


def test_rows_empties_and_errors_are_all_clips_once(broken_video: Video) -> None:
    if not broken_video.times:
        return
    found = probe(str(broken_video.path), None, SPEC, LIMITS)
    indices: list[int] = []
    for one in settle(broken_video.path, SPEC, ticks_only=True):
        if isinstance(one, Clip):
            indices.append(one.window.clip_index)
            if one.lost == 0:
                check_frames(one, broken_video, found.timeline.tick_s, seconds(one, found.timeline))
        else:
            indices += range(one.first_clip, one.last_clip + 1)
    assert indices == list(range(found.n_clips))


def check_frames(clip: Clip, video: Video, tick_s: Fraction, times: list[float]) -> None:
    expected = expected_frames(video, SPEC, clip.window.clip_index)
    if expected is not None:  # else the frames that begin in this window are damaged
        shown = [float(video.times[number]) for number in expected]
        assert times == pytest.approx(shown, abs=float(tick_s))


@pytest.mark.parametrize(
    ("name", "error_class", "says"),
    [
        ("zero_bytes.mp4", "unreadable", "empty"),
        ("web_page.mp4", "unreadable", "web page"),
        ("random_bytes.mp4", "unreadable", "no known video format"),
        ("truncated_no_moov.mp4", "unreadable", "moov"),
        ("audio_only.mp4", "no_video", "audio"),
        ("huge_header.mp4", "too_large", "16000x16000"),
    ],
)
def test_a_file_without_a_clip_says_what_it_is(name: str, error_class: str, says: str) -> None:
    error = failure(OWN / name)
    assert error.error_class == error_class
    assert says in error.message


def test_a_missing_file_is_storage(tmp_path: Path) -> None:
    assert failure(tmp_path / "gone.mp4").error_class == "storage"
    assert failure(tmp_path).error_class == "storage"


def test_a_name_that_is_not_text_is_a_name(tmp_path: Path) -> None:
    strange = os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4")
    shutil.copy(OWN / "one_frame.mp4", strange)
    assert probe(local_uri(os.fsdecode(strange)), None, SPEC, LIMITS).n_clips == 1


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    """A file that names others would have the decoder read what nobody listed."""
    clip = OWN / "cfr25_faststart.mp4"
    for name, text in {
        "a.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{clip}\n#EXT-X-ENDLIST\n",
        "b.mp4": f"ffconcat version 1.0\nfile {clip.name}\n",
    }.items():
        (tmp_path / name).write_text(text)
        assert failure(tmp_path / name).error_class == "unreadable"


def test_a_truncated_file_is_planned_to_what_its_header_promises() -> None:
    path = OWN / "truncated_faststart.mp4"
    found = probe(str(path), None, SPEC, LIMITS)
    assert found.duration_s == 4.0
    *kept, lost = settle(path, SPEC)
    assert all(isinstance(clip, Clip) for clip in kept)
    assert isinstance(lost, Lost) and lost.last_clip == found.n_clips - 1
    assert "ends at" in lost.message and "of 4.00 s" in lost.message


def test_a_hole_costs_its_clips_and_no_others() -> None:
    path = OWN / "hole_in_middle.mp4"
    settled = settle(path, ClipSpec(4, 0.2, 0.2))
    lost = [one for one in settled if isinstance(one, Lost)]
    kept = [one for one in settled if isinstance(one, Clip)]
    assert lost and kept
    assert not any(isinstance(one, Empty) for one in settled)
    middle = {clip for one in lost for clip in range(one.first_clip, one.last_clip + 1)}
    assert middle <= set(range(6, 17))


def test_a_longer_sound_track_promises_no_pictures() -> None:
    assert probe(str(OWN / "audio_longer.mp4"), None, SPEC, LIMITS).duration_s == 2.0


def test_a_sliver_is_refused_by_its_probe() -> None:
    limits = DecodeLimits(max_frame_pixels=320 * 181)
    path = OWN / "cfr25_faststart.mp4"
    assert probe(str(path), None, SPEC, limits, SMALL).width == 320
    with pytest.raises(UnitError, match="resizing") as caught:
        probe(str(path), None, SPEC, limits, FrameSpec(size=400))
    assert caught.value.error_class == "too_large"


class TestCorpus:
    """How each damaged file of the large corpus ends."""

    @pytest.mark.parametrize(
        ("name", "error_class"),
        [
            ("audio_only.mp4", "no_video"),
            ("bad_extradata.mp4", "undecodable"),
            ("random_bytes.mp4", "unreadable"),
            ("s3_error_page.mp4", "unreadable"),
            ("truncated_no_moov.mp4", "unreadable"),
            ("unknown_codec.mp4", "undecodable"),
            ("zero_byte.mp4", "unreadable"),
        ],
    )
    def test_without_a_clip(self, corpus: Path, name: str, error_class: str) -> None:
        assert failure(corpus / "broken" / name).error_class == error_class

    @pytest.mark.parametrize(
        ("name", "kept", "lost"),
        [
            ("bitflips.mp4", 3, 0),
            ("decord_corrupted_720p.mp4", 3, 0),
            ("hole_in_middle.mp4", 3, 0),
            ("image.mp4", 1, 0),
            ("no_first_keyframe.ts", 1, 0),
            ("tail_zeroed.mp4", 2, 1),
            ("truncated.webm", 1, 2),
            ("truncated_faststart.mp4", 1, 2),
        ],
    )
    def test_with_some(self, corpus: Path, name: str, kept: int, lost: int) -> None:
        settled = settle(corpus / "broken" / name, ClipSpec())
        assert sum(isinstance(one, Clip) for one in settled) == kept
        gone = [one for one in settled if isinstance(one, Lost)]
        assert sum(one.last_clip - one.first_clip + 1 for one in gone) == lost
