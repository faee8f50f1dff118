"""Clips hold the frames that the files' own times ask for."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.media.running import LIMITS, SMALL, Marked, seconds, settle, stacked
from tests.media.truth import OWN, Video, clip_count, expected_frames
from vfeat.job.recipe import ClipSpec, FrameSpec
from vfeat.media.clips import Clip, Empty, Settled
from vfeat.media.decoders.base import DecodeRequest
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.probe import probe
from vfeat.media.source import locate, no_progress

SPECS = {
    "dense": ClipSpec(8, 2.0, 2.0),
    "overlapping": ClipSpec(4, 1.0, 0.4),
    "far_apart": ClipSpec(3, 0.5, 3.1),
    "many_frames": ClipSpec(64, 0.9, 0.7),
}


def as_numbers(settled: list[Settled], video: Video, spec: ClipSpec) -> dict[int, object]:
    """Clip index to frame numbers (None: empty), from marked clips."""
    line = probe(str(video.path), None, spec, LIMITS).timeline
    numbers = {float(time): number for number, time in enumerate(video.times)}
    found: dict[int, object] = {}
    for one in settled:
        if isinstance(one, Clip):
            assert one.lost == 0
            nearest = [min(numbers, key=lambda t: abs(t - time)) for time in seconds(one, line)]
            found[one.window.clip_index] = [numbers[time] for time in nearest]
        else:
            assert isinstance(one, Empty), one
            found.update(dict.fromkeys(range(one.first_clip, one.last_clip + 1)))
    return found


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_frames_are_those_of_the_files_own_times(healthy_video: Video, spec: ClipSpec) -> None:
    settled = settle(healthy_video.path, spec, ticks_only=True)
    found = as_numbers(settled, healthy_video, spec)
    duration = healthy_video.duration_s or probe_duration(healthy_video)
    assert list(found) == list(range(clip_count(spec, duration)))
    tested = list(found) if len(found) < 200 else [0, 1, 2, len(found) // 2, len(found) - 1]
    for clip_index in tested:
        expected = expected_frames(healthy_video, spec, clip_index)
        assert found[clip_index] == expected, clip_index


def probe_duration(video: Video) -> Fraction:
    """Exact duration of a file whose truth does not state it."""
    found = probe(str(video.path), None, ClipSpec(), LIMITS)
    assert found.timeline.duration_s >= video.times[-1]
    return found.timeline.duration_s


def barcode(whole: np.ndarray) -> int:
    """The number burnt into a picture of any size, as shown before rotation."""
    height, width = whole.shape[:2]
    row = whole[min(height // 18, 12)].mean(axis=-1)
    bits = [int(row[width * (2 * block + 1) // 28] > 127) for block in range(14)]
    assert bits[0] == 1 and bits[13] == 0
    return int("".join(map(str, bits[1:13])), 2)


def whole_picture(crops_VHWC: np.ndarray, shown: tuple[int, int], size: int) -> np.ndarray:
    """The resized picture put together from its first and last crop."""
    width, height = shown
    if max(width, height) > 2 * min(width, height):
        return crops_VHWC[0]  # the crops leave a gap; the barcode is in the first
    long = int(size * max(width, height) / min(width, height))
    axis = 0 if height >= width else 1
    rest = [crops_VHWC[2].take(range(2 * size - long, size), axis=axis)]
    return np.concatenate([crops_VHWC[0], *rest], axis=axis)


def test_emitted_pictures_carry_the_expected_numbers(barcoded_video: Video) -> None:
    spec, frame = ClipSpec(6, 1.0, 1.0), FrameSpec(size=112, crops=3)
    found = probe(str(barcoded_video.path), None, spec, LIMITS)
    for clip in settle(barcoded_video.path, spec, 0, min(found.n_clips - 1, 4), frame):
        if not isinstance(clip, Clip):
            continue
        expected = expected_frames(barcoded_video, spec, clip.window.clip_index)
        assert expected is not None
        shown = (found.width, found.height)
        pictures = [whole_picture(crops, shown, 112) for crops in clip.frames]
        turned = [np.rot90(p, k=-(barcoded_video.barcode_turn // 90)) for p in pictures]
        numbers = [barcode(picture) for picture in turned]
        assert numbers == [barcoded_video.barcodes[number] for number in expected]


@pytest.mark.parametrize(
    "spec", [ClipSpec(4, 0.4, 0.4), ClipSpec(2, 0.2, 1.7)], ids=["dense", "apart"]
)
def test_a_unit_in_mid_video_gives_the_clips_of_the_whole(
    healthy_video: Video, spec: ClipSpec
) -> None:
    found = probe(str(healthy_video.path), None, spec, LIMITS)
    last = found.n_clips - 1
    whole = {
        c.window.clip_index: c for c in settle(healthy_video.path, spec) if isinstance(c, Clip)
    }
    for first in {min(1, last), (last + 1) // 2, last}:
        part = settle(healthy_video.path, spec, first, last)
        clips = [clip for clip in part if isinstance(clip, Clip)]
        assert [c.window for c in clips] == [w.window for k, w in whole.items() if k >= first]
        for clip in clips:
            assert (stacked([clip]) == stacked([whole[clip.window.clip_index]])).all()


@pytest.mark.parametrize(
    "spec", [ClipSpec(4, 1.0, 1.0), ClipSpec(3, 0.5, 2.3)], ids=["dense", "apart"]
)
def test_each_clip_alone_is_the_clip_of_the_whole(any_video: Video, spec: ClipSpec) -> None:
    """Healthy or broken: which units a video is cut into changes no frame of any clip."""
    found = probe(str(any_video.path), None, spec, LIMITS)

    def shown(first: int, last: int) -> dict[int, object]:
        clips: dict[int, object] = {}
        for one in settle(any_video.path, spec, first, last, ticks_only=True, found=found):
            if isinstance(one, Clip):
                clips[one.window.clip_index] = seconds(one, found.timeline)
            else:
                clips |= dict.fromkeys(range(one.first_clip, one.last_clip + 1), type(one).__name__)
        return clips

    whole = shown(0, found.n_clips - 1)
    assert list(whole) == list(range(found.n_clips))
    some = list(whole)[:: max(1, len(whole) // 12)]
    assert {clip: shown(clip, clip)[clip] for clip in some} == {clip: whole[clip] for clip in some}


def test_sparse_clips_hold_the_official_frame_numbers(healthy_video: Video) -> None:
    from vfeat.media.timeline import sparse_indices

    spec = ClipSpec(num_frames=4, sampling="sparse", sparse_clips=3)
    found = as_numbers(settle(healthy_video.path, spec, ticks_only=True), healthy_video, spec)
    frames = len(healthy_video.times)
    assert found == {k: sparse_indices(frames, 4, 3, k) for k in range(3)}


def test_a_seek_is_made_where_it_pays_and_only_there() -> None:
    """60 s at 5 fps, a keyframe every 10 s: far clips must not decode all between."""
    path = OWN / "long_low_rate.mp4"
    line = probe(str(path), None, ClipSpec(), LIMITS).timeline

    def decoded(first_s: float) -> int:
        request = DecodeRequest(locate(str(path), None), line, LIMITS, no_progress)
        decoder = PyavDecoder(request)
        decoder.skip_to(line.origin_tick + int(first_s / line.tick_s))
        frame = decoder.read()
        assert frame is not None and (frame.tick - line.origin_tick) * line.tick_s <= first_s
        decoder.close()
        return decoder.stats.frames_decoded

    assert decoded(0.5) == 1  # the first frame itself: too near to seek
    assert decoded(9.0) == 1  # no keyframe in between
    assert decoded(55.0) == 2  # the first frame, then the keyframe at 50 s


def test_windows_in_a_gap_of_years_cost_nothing() -> None:
    """The grid over a gap is settled by arithmetic, not window by window."""
    path = OWN / "vfr_gap.mp4"
    spec = ClipSpec(num_frames=2, clip_s=0.001, stride_s=0.001)
    settled = settle(path, spec, ticks_only=True)
    gaps = [one for one in settled if isinstance(one, Empty)]
    assert len(gaps) < 50
    assert max(gap.last_clip - gap.first_clip for gap in gaps) > 8000


def test_overlapping_windows_convert_each_frame_once() -> None:
    spec = ClipSpec(num_frames=8, clip_s=2.0, stride_s=0.5)
    settled = settle(OWN / "cfr25_faststart.mp4", spec, frame=SMALL)
    pictures = [picture for clip in settled if isinstance(clip, Clip) for picture in clip.frames]
    times_used = 8 * len(settled)
    assert len({id(picture) for picture in pictures}) < times_used


def test_marks_survive_preparation() -> None:
    """The instrument of these tests: a marked picture passes resize and crop untouched."""
    assert isinstance(settle(OWN / "one_frame.mp4", ClipSpec(), ticks_only=True)[0], Clip)
    assert Marked.__doc__
