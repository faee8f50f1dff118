"""Fixtures for decoding: every file with its truth, and ways to run the assembler here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.media.truth import Video, own_videos, shared_videos
from vfeat.media.children.boundary import examine_boundary

_SHARED = Path(
    os.environ.get("VFEAT_SHARED") or Path(__file__).resolve().parents[2].parent / "shared"
)


def _all_videos() -> list[Video]:
    found = own_videos()
    if (_SHARED / "clips" / "pts.json").exists():
        found += shared_videos(_SHARED)
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each file of the repository and of the corpus.

    `any_video` (with a frame), `healthy_video`, `broken_video`, and of the healthy ones
    `barcoded_video` and `small_video`; the 8K bomb, which is slow, is tested on its own.
    """
    wanted: dict[str, Callable[[Video], bool]] = {
        "any_video": lambda video: bool(video.times) and video.name != "bomb_8k.mp4",
        "healthy_video": lambda video: video.healthy,
        "broken_video": lambda video: not video.healthy,
        "barcoded_video": lambda video: video.healthy and bool(video.barcodes),
        "small_video": lambda video: video.healthy and video.name != "bomb_8k.mp4",
    }
    for name, fits in wanted.items():
        if name in metafunc.fixturenames:
            videos = [video for video in _all_videos() if fits(video)]
            metafunc.parametrize(name, videos, ids=[video.name for video in videos])


@pytest.fixture
def corpus(shared: Path) -> Path:
    """Folder of the large corpus."""
    folder = shared / "clips"
    if not folder.is_dir():
        pytest.skip(f"no corpus at {folder}")
    return folder


@pytest.fixture(scope="module")
def holding() -> set[str]:
    """Measures that this machine has; a test of another one has nothing to hold."""
    return {measure.name for measure in examine_boundary() if not measure.missing}
