"""Small whole videos to be mutated: every container and codec that can be written here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av

from tests.clipmaker import scenes
from tests.clipmaker.encode import Coding, write_clip
from tests.media.truth import OWN

FRAMES = 24
_LARGEST_BYTES = 45_000
_WIDTH, _HEIGHT = 64, 48
_X264 = {"crf": "32", "bf": "2", "g": "12"}
# file name, encoder, its options, pixel format, options of the muxer
_DRAWN: tuple[tuple[str, str, dict[str, str], str, dict[str, str]], ...] = (
    ("h264.mp4", "libx264", _X264, "yuv420p", {}),
    ("h264_fragments.mp4", "libx264", _X264, "yuv420p", {"movflags": "frag_keyframe+empty_moov"}),
    ("h264.mkv", "libx264", _X264, "yuv420p", {}),
    ("h264.ts", "libx264", _X264, "yuv420p", {}),
    ("h264.flv", "libx264", _X264, "yuv420p", {}),
    ("h264.h264", "libx264", {"crf": "32", "bf": "0", "g": "12"}, "yuv420p", {}),
    ("hevc.mp4", "libx265", {"crf": "34", "x265-params": "pools=1:log-level=none"}, "yuv420p", {}),
    ("hevc.ts", "libx265", {"crf": "34", "x265-params": "pools=1:log-level=none"}, "yuv420p", {}),
    ("hevc.hevc", "libx265", {"crf": "34", "x265-params": "pools=1:log-level=none:bframes=0"},
     "yuv420p", {}),
    ("vp8.webm", "libvpx", {"crf": "40", "b": "100k", "g": "12"}, "yuv420p", {}),
    ("vp9.webm", "libvpx-vp9", {"crf": "45", "b": "0", "g": "12"}, "yuv420p", {}),
    ("vp9.ivf", "libvpx-vp9", {"crf": "45", "b": "0", "g": "12"}, "yuv420p", {}),
    ("av1.mkv", "libsvtav1", {"crf": "50", "preset": "10", "svtav1-params": "lp=1"},
     "yuv420p", {}),
    ("av1.mp4", "libsvtav1", {"crf": "50", "preset": "10", "svtav1-params": "lp=1"},
     "yuv420p", {}),
    ("mpeg1.mpg", "mpeg1video", {"b": "200k", "g": "12"}, "yuv420p", {}),
    ("mpeg2.vob", "mpeg2video", {"b": "200k", "g": "12", "bf": "2"}, "yuv420p", {}),
    ("mpeg2.ts", "mpeg2video", {"b": "200k", "g": "12", "bf": "2"}, "yuv420p", {}),
    ("mpeg2.mxf", "mpeg2video", {"b": "200k", "g": "12"}, "yuv420p", {}),
    ("mpeg4.avi", "mpeg4", {"b": "100k", "g": "12"}, "yuv420p", {}),
    ("mjpeg.avi", "mjpeg", {"b": "400k"}, "yuvj420p", {}),
    ("mjpeg.mov", "mjpeg", {"b": "400k"}, "yuvj420p", {}),
    ("mjpeg.mjpeg", "mjpeg", {"b": "400k"}, "yuvj420p", {}),
    ("prores.mov", "prores_ks", {"profile": "0"}, "yuv422p10le", {}),
    ("ffv1.mkv", "ffv1", {"g": "12"}, "yuv420p", {}),
    ("flash.flv", "flv", {"b": "100k", "g": "12"}, "yuv420p", {}),
    ("wmv2.wmv", "wmv2", {"b": "100k", "g": "12"}, "yuv420p", {}),
    ("msmpeg4.asf", "msmpeg4", {"b": "100k", "g": "12"}, "yuv420p", {}),
    ("mpeg4.nut", "mpeg4", {"b": "100k", "g": "12"}, "yuv420p", {}),
    ("real.rm", "rv20", {"b": "100k", "g": "12"}, "yuv420p", {}),
    ("small.gif", "gif", {}, "rgb8", {}),
    ("small.apng", "apng", {}, "rgb24", {}),
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One whole video, in memory.

    Attributes:
        name: of its file; the suffix chooses the mutations that fit.
    """

    name: str
    data: bytes

    @property
    def suffix(self) -> str:
        """Suffix of the name, lower case."""
        return Path(self.name).suffix.lower()


def all_sources(folder: Path) -> list[Source]:
    """Gather the videos drawn here, the repository's small clips and the shared ones.

    Args:
        folder: where the drawn ones are written.
    """
    found = drawn(folder)
    found += small_files(OWN)
    if shared := os.environ.get("VFEAT_SHARED"):
        for name in ("made", "broken", "real"):
            found += small_files(Path(shared) / "clips" / name)
        found += small_files(Path(shared) / "field")
    return found


def drawn(folder: Path) -> list[Source]:
    """Draw and encode a second of video for every container and codec; the same in every run."""
    os.environ.setdefault("SVT_LOG", "-1")  # of the AV1 encoder, which prints to the terminal
    found = []
    for name, codec, options, pixels, muxer in _DRAWN:
        path = folder / name
        container = dict(muxer)
        coding = Coding(codec, options, container, pixel_format=pixels)
        try:
            write_clip(path, scenes.waves(_WIDTH, _HEIGHT, FRAMES), list(range(FRAMES + 1)), coding)
        except (av.FFmpegError, ValueError, KeyError):  # a build without this encoder or muxer
            continue
        found.append(Source(name, path.read_bytes()))
    return found


def small_files(folder: Path) -> list[Source]:
    """Read the small videos of a folder, in order."""
    return [Source(path.name, path.read_bytes()) for path in _small(folder)]


def _small(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and path.suffix != ".json" and path.stat().st_size <= _LARGEST_BYTES:
            yield path
