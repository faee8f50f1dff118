"""Other decoders by name: the same pictures where they are used, PyAV elsewhere."""

from __future__ import annotations

import importlib.util

import pytest

from tests.media.running import LIMITS, SMALL, pool_of, run_all, settle, stacked
from tests.media.truth import OWN, Video
from vfeat.errors import EnvironmentMissing
from vfeat.job.recipe import ClipSpec, FrameSpec
from vfeat.media.decoders.base import DecodeRequest, check_decoder, load_decoder
from vfeat.media.decoders.indexed import IndexedDecoder
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.probe import probe
from vfeat.media.source import locate, no_progress

LIBRARIES = [n for n in ("decord", "torchcodec") if importlib.util.find_spec(n) is not None]


@pytest.mark.skipif("torchcodec" in LIBRARIES, reason="it is, and tested below")
def test_an_extra_that_is_not_installed_says_how_to_install_it() -> None:
    with pytest.raises(EnvironmentMissing, match=r"vfeat\[torchcodec\]"):
        check_decoder("torchcodec")


@pytest.mark.parametrize("library", LIBRARIES)
def test_pictures_equal_pyavs(library: str, small_video: Video) -> None:
    spec = ClipSpec(2, 0.5, 1.3)
    frame = FrameSpec(size=SMALL.size, decoder=library)
    ours = settle(small_video.path, spec)
    theirs = settle(small_video.path, spec, frame=frame)
    assert [type(one) for one in theirs] == [type(one) for one in ours]
    difference = stacked(theirs).astype(int) - stacked(ours).astype(int)
    assert abs(difference).max() <= 1


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("h264_late_start.ts", "container"),
        ("mjpeg.avi", "container"),
        ("truncated_faststart.mp4", None),
        ("cfr25_bframes.mp4", ""),
    ],
)
def test_unfit_files_go_to_pyav_with_a_warning(library: str, name: str, why: str | None) -> None:
    path = str(OWN / name)
    line = probe(path, None, ClipSpec(), LIMITS).timeline
    request = DecodeRequest(locate(path, None), line, LIMITS, no_progress)
    decoder = load_decoder(library)(request)
    if why:
        assert isinstance(decoder, PyavDecoder)
        assert why in decoder.stats.warnings[0]
    elif why == "":
        assert isinstance(decoder, IndexedDecoder)
    decoder.close()


def test_where_decord_gives_up_pyav_goes_on() -> None:
    spec = ClipSpec(4, 0.5, 0.5)
    path = OWN / "hole_in_middle.mp4"
    with pool_of(1, spec) as pool:
        ours = run_all(pool, [path]).done[0]
    with pool_of(1, spec, FrameSpec(size=SMALL.size, decoder="decord")) as pool:
        theirs = run_all(pool, [path]).done[0]
    assert (theirs.outcome.rows, theirs.partial) == (ours.outcome.rows, ours.partial)
    assert any("decord" in warning for warning in theirs.outcome.warnings)
