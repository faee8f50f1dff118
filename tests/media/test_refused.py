"""Files that are no video: refused before FFmpeg reads on, and named for what they are."""

from __future__ import annotations

import gzip
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.media.running import LIMITS
from tests.media.truth import OWN
from tests.media.web import serve
from vfeat.errors import UnitError
from vfeat.job.recipe import ClipSpec
from vfeat.media.probe import probe

TEXT = "Chapter 1\nIt was a dark and stormy night.\n" * 20
SUBTITLES = "1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n" * 9
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PLAYLISTS = {
    "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{target}\n#EXT-X-ENDLIST\n",
    "a.ffconcat": "ffconcat version 1.0\nfile '{target}'\n",
    "a.mpd": (
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT4S"><Period><AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ),
    "a.sdp": (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{target}\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    ),
    "a.asx": '<ASX version="3.0"><Entry><Ref href="{target}"/></Entry></ASX>',
    "a.pls": "[playlist]\nFile1={target}\nNumberOfEntries=1\n",
}


def refusal(path: Path | str) -> UnitError:
    with pytest.raises(UnitError) as caught:
        probe(str(path), None, ClipSpec(), LIMITS)
    assert str(path) in caught.value.message
    return caught.value


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(OWN / "one_frame.mp4", "one_frame.mp4")


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "list.txt": (lambda p: p.write_text(TEXT), "column uri"),
    "film.nfo": (lambda p: p.write_bytes(b"\x1b[31mFILM\x1b[0m\r\n" * 40), "text file"),
    "film.ans": (lambda p: p.write_text(TEXT), "text file"),
    "video.mp4": (lambda p: p.write_text(TEXT), "text file"),
    "film.srt": (lambda p: p.write_text(SUBTITLES), "text file"),
    "renamed.mkv": (lambda p: p.write_text(SUBTITLES), "text file"),
    "song.lrc": (lambda p: p.write_text("[00:01.00]la\n" * 9), "text file"),
    "umlaut.txt": (lambda p: p.write_text("größe 映像\n" * 500), "text file"),
    "random.idf": (lambda p: p.write_bytes(np.random.default_rng(1).bytes(9000)), "known video"),
    "pointer.mp4": (lambda p: p.write_text(POINTER), "git lfs pull"),
    "packed.mp4": (lambda p: p.write_bytes(gzip.compress(TEXT.encode())), "gzip"),
    "packed.avi": (zipped, "ZIP archive"),
    "paper.mp4": (lambda p: p.write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), "PDF"),
    "page.mp4": (lambda p: p.write_text("\n<!DOCTYPE html><p>no"), "web page"),
    "zeros.mp4": (lambda p: p.write_bytes(bytes(100_000)), "zeros"),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_video_is_named(tmp_path: Path, name: str) -> None:
    make, says = KINDS[name]
    make(tmp_path / name)
    error = refusal(tmp_path / name)
    assert error.error_class == "unreadable"
    assert says in error.message


def test_the_same_is_said_of_a_remote_file(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(TEXT)
    (tmp_path / "pointer.mp4").write_text(POINTER)
    with serve(tmp_path) as web:
        assert "text file" in refusal(f"{web.address}/list.txt").message
        assert "git lfs pull" in refusal(f"{web.address}/pointer.mp4").message


@contextmanager
def unopened(fifo: Path) -> Iterator[None]:
    """Fail when anybody opens a FIFO for reading: only then its writer gets in."""
    entered = threading.Event()

    def write() -> None:
        os.close(os.open(fifo, os.O_WRONLY))
        entered.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield
        assert not entered.is_set(), f"{fifo} was opened"
    finally:
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        writer.join()
        os.close(reader)


@pytest.mark.parametrize("name", PLAYLISTS)
@pytest.mark.parametrize("suffix", ["", ".mp4"])
def test_nothing_that_a_playlist_names_is_opened(tmp_path: Path, name: str, suffix: str) -> None:
    fifo, playlist = tmp_path / "segment.ts", tmp_path / (name + suffix)
    os.mkfifo(fifo)
    with serve(OWN) as web:
        for target in (str(fifo), fifo.name, f"{web.address}/cfr25_bframes.mp4"):
            playlist.write_text(PLAYLISTS[name].format(target=target))
            with unopened(fifo):
                error = refusal(playlist)
            assert error.error_class == "unreadable"
            assert "playlist" in error.message
        assert web.asked == []


def test_an_encrypted_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cenc.mp4"
    options = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    with (
        av.open(str(OWN / "cfr25_bframes.mp4")) as clear,
        av.open(str(path), "w", options=options) as encrypted,
    ):
        stream = encrypted.add_stream_from_template(clear.streams.video[0])
        for packet in clear.demux(clear.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                encrypted.mux(packet)
    error = refusal(path)
    assert error.error_class == "undecodable"
    assert "encrypted" in error.message


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tiff", "ppm", "jp2"])
def test_a_picture_is_a_video_of_one_frame(tmp_path: Path, suffix: str) -> None:
    picture = np.random.default_rng(3).integers(0, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), picture)
    found = probe(str(tmp_path / f"a.{suffix}"), None, ClipSpec(), LIMITS)
    assert (found.width, found.height, found.timeline.n_frames) == (64, 48, 1)


def test_sound_is_known_as_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000)
        samples = np.random.default_rng(5).integers(-99, 99, (1, 8000), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert refusal(path).error_class == "no_video"


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("h264", "libx264"), ("hevc", "libx265"), ("m2v", "mpeg2video"), ("m4v", "mpeg4"),
        ("mjpeg", "mjpeg"), ("ivf", "libvpx-vp9"), ("gif", "gif"), ("y4m", "rawvideo"),
        ("avi", "mpeg4"), ("mkv", "libx264"), ("webm", "libvpx"), ("mov", "libx264"),
        ("ts", "mpeg2video"), ("mpg", "mpeg2video"), ("flv", "libx264"), ("asf", "mpeg4"),
        ("wmv", "wmv2"), ("nut", "mpeg4"), ("mxf", "mpeg2video"), ("ogv", "libtheora"),
        ("3gp", "mpeg4"), ("dv", "dvvideo"), ("rm", "rv20"), ("obu", "libaom-av1"),
    ],
)  # fmt: skip
def test_known_containers_are_read(tmp_path: Path, suffix: str, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no encoder {codec}")
    path, size = tmp_path / f"a.{suffix}", (720, 576) if suffix == "dv" else (176, 144)
    random = np.random.default_rng(7)
    pixels = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(suffix, "yuv420p")
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for _ in range(3):
            drawn = random.integers(0, 255, (size[1], size[0], 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(drawn, format="rgb24").reformat(format=pixels)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    found = probe(str(path), None, ClipSpec(), LIMITS)
    assert (found.width, found.height) == size


def test_a_copy_without_a_suffix_is_read(tmp_path: Path) -> None:
    shutil.copy(OWN / "vp9.webm", tmp_path / "video.txt")
    assert probe(str(tmp_path / "video.txt"), None, ClipSpec(), LIMITS).codec == "vp9"
