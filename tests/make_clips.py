"""Draw and encode the test clips and the demo's: `python tests/make_clips.py`.

Writes tests/clips (with clips.json, the truth about each) and jobs/demo_clips. The
pictures are drawn by tests/clipmaker/scenes.py, hence ours to give away. The same
PyAV gives the same bytes; another one gives the same frames and times.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # this file is run as a script

from tests.clipmaker import damage, scenes  # noqa: E402
from tests.clipmaker.encode import Coding, write_audio, write_clip  # noqa: E402

CLIPS = REPOSITORY / "tests" / "clips"
DEMO_CLIPS = REPOSITORY / "jobs" / "demo_clips"

_DECODED_AS = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "av1", "libvpx-vp9": "vp9"}
_MS = Fraction(1, 1000)
_FASTSTART = {"movflags": "+faststart"}
# x264's macroblock tree is not the same twice
_SAME = {"x264-params": "mbtree=0"}
_B_FRAMES = Coding(options={"crf": "30", "bf": "2", "g": "50", **_SAME})
_LONG = [5 * number for number in range(301)]
_JPEG = Coding("mjpeg", {"b": "400k"}, pixel_format="yuvj420p")
_NO_B = {"crf": "30", "bf": "0", "g": "25", **_SAME}


@dataclass(frozen=True)
class Truth:
    """What is in a file.

    Attributes:
        file: name within tests/clips.
        note: what is special or wrong.
        kind: `healthy`, or `broken` when it does not hold what its header promises.
        width, height: as shown, after rotation, pixels; 0 without a picture.
        rotation: degrees, counter-clockwise, from the stored to the shown picture.
        codec: FFmpeg's name.
        tick_s: seconds of a tick, as a fraction.
        ticks: when each frame is shown, from the first; one entry for each frame that
            a decoder which skips bad packets can give, in order of time.
        duration_s: the last frame's time and its display interval.
        barcodes: number burnt into each frame; -1 where it cannot be read.
        error_class: what vfeat calls a file that gives no clip; empty if it gives some.
        size_bytes, sha256: of the committed file.
    """

    file: str
    note: str
    kind: str = "healthy"
    width: int = 0
    height: int = 0
    rotation: int = 0
    codec: str = ""
    tick_s: str = "1/25"
    ticks: tuple[int, ...] = ()
    duration_s: float = 0.0
    barcodes: tuple[int, ...] = ()
    error_class: str = ""
    size_bytes: int = 0
    sha256: str = ""


def steady(frames: int, step: int = 1) -> list[int]:
    """Ticks of a constant frame rate, with the end."""
    return [number * step for number in range(frames + 1)]


def uneven(frames: int) -> list[int]:
    """Ticks in milliseconds whose steps are 20, 40, 60 or 120, in a fixed order."""
    ticks = [0]
    for number in range(frames):
        ticks.append(ticks[-1] + (20, 40, 120, 40, 60)[number % 5])
    return ticks


def with_gap(before: int, gap_ms: int, after: int) -> list[int]:
    """Ticks of 10 frames a second in milliseconds, with a hole."""
    return [
        *(number * 100 for number in range(before)),
        *((before - 1 + number) * 100 + gap_ms for number in range(after + 1)),
    ]


def healthy() -> Iterator[Truth]:
    """Write the healthy clips."""
    yield clip("cfr25_bframes.mp4", "6 s, 25 fps, B-frames, index at the end", steady(150))
    yield clip(
        "cfr25_faststart.mp4",
        "index at the start",
        steady(100),
        replace(_B_FRAMES, container=_FASTSTART),
    )
    vfr = Coding(tick_s=_MS, options=_NO_B)
    yield clip("vfr.mp4", "steps of 20 to 120 ms", uneven(100), vfr)
    gap = with_gap(20, 9000, 20)
    yield clip("vfr_gap.mp4", "9 s without a frame after the 20th", gap, vfr)
    vp9 = Coding("libvpx-vp9", {"crf": "42", "b": "0"}, tick_s=_MS)
    yield clip("vp9.webm", "VP9, 25 fps", steady(75, 40), vp9)
    av1 = Coding("libsvtav1", {"crf": "45", "preset": "8", "svtav1-params": "lp=1"})
    yield clip("av1.mp4", "AV1, 25 fps", steady(50), av1)
    hevc = Coding("libx265", {"crf": "32", "x265-params": "pools=1:frame-threads=1:log-level=1"})
    yield clip("hevc.mp4", "HEVC with B-frames", steady(50), hevc)
    start = Coding("mpeg2video", {"b": "300k", "g": "15", "bf": "2"}, {"output_ts_offset": "17"})
    yield clip("mpeg2_late_start.ts", "times start at 17 s and more", steady(75), start)
    late = replace(_B_FRAMES, container={"output_ts_offset": "600"})
    yield clip("h264_late_start.ts", "times start at 600 s and more", steady(75), late)
    yield clip("mjpeg.avi", "every frame a keyframe", steady(25), _JPEG)
    turned = replace(_B_FRAMES, rotation=90)
    yield clip("rotated_90.mp4", "stored lying, shown upright", steady(50), turned, 180, 320)
    beep = replace(_B_FRAMES, audio_s=4)
    yield clip("audio_longer.mp4", "4 s of sound, 2 s of video", steady(50), beep)
    yield clip("one_frame.mp4", "a single frame", steady(1))
    yield clip("odd_size.webm", "227 x 127 pixels", steady(25, 40), vp9, 227, 127)
    yield clip("long_low_rate.mp4", "60 s, 5 fps, keyframe every 10 s", _LONG, width=160, height=90)
    yield clip("naïve 映像 #1 100%.mp4", "a name to stumble over", steady(25))


def clip(
    file: str,
    note: str,
    ticks: list[int],
    coding: Coding = _B_FRAMES,
    width: int = 320,
    height: int = 180,
) -> Truth:
    """Encode the waves with their barcode; the truth is what was asked for."""
    frames = len(ticks) - 1
    write_clip(CLIPS / file, scenes.waves(width, height, frames), ticks, coding)
    return Truth(
        file,
        note,
        width=width,
        height=height,
        rotation=coding.rotation,
        codec=_DECODED_AS.get(coding.codec, coding.codec),
        tick_s=str(coding.tick_s),
        ticks=tuple(ticks[:-1]),
        duration_s=float(ticks[-1] * coding.tick_s),
        barcodes=tuple(range(frames)),
    )


def broken() -> Iterator[Truth]:
    """Damage copies of the healthy clips; what they still give is measured."""
    whole, fast = CLIPS / "cfr25_bframes.mp4", CLIPS / "cfr25_faststart.mp4"

    def entry(file: str, note: str, error_class: str) -> Truth:
        return Truth(file, note, "broken", error_class=error_class)

    (CLIPS / "zero_bytes.mp4").write_bytes(b"")
    yield entry("zero_bytes.mp4", "nothing at all", "unreadable")
    damage.cut(whole, CLIPS / "truncated_no_moov.mp4", 0.6)
    yield entry("truncated_no_moov.mp4", "cut before its index", "unreadable")
    damage.noise(CLIPS / "random_bytes.mp4", 5000)
    yield entry("random_bytes.mp4", "noise", "unreadable")
    damage.web_page(CLIPS / "web_page.mp4")
    yield entry("web_page.mp4", "an HTML page", "unreadable")
    write_audio(CLIPS / "audio_only.mp4", 2)
    yield entry("audio_only.mp4", "sound without a picture", "no_video")
    tiny = CLIPS / "huge_header.mp4"
    write_clip(tiny, scenes.waves(64, 48, 3), steady(3), _JPEG)
    damage.enlarge(tiny, tiny)
    yield entry("huge_header.mp4", "its headers say 16000 x 16000 pixels", "too_large")
    damage.cut(fast, CLIPS / "truncated_faststart.mp4", 0.6)
    yield measured("truncated_faststart.mp4", "cut at 60 %, with its index")
    damage.punch(fast, CLIPS / "hole_in_middle.mp4", 0.45, 0.55)
    yield measured("hole_in_middle.mp4", "zeros from 45 % to 55 %")


def measured(file: str, note: str) -> Truth:
    """What decoding packet by packet, passing over the bad ones, gets out of a file."""
    import av

    seen: list[tuple[int, int]] = []
    with av.open(CLIPS / file) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        tick_s = Fraction(1, 25)
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                number = scenes.read_barcode(frame.to_ndarray(format="rgb24"))
                seen.append((round(frame.time / tick_s), -1 if number is None else number))
        width, height, codec = stream.width, stream.height, stream.codec_context.name
    seen.sort()
    return Truth(
        file,
        note,
        "broken",
        width=width,
        height=height,
        codec=codec,
        ticks=tuple(tick for tick, _ in seen),
        duration_s=float((seen[-1][0] + 1) * tick_s),
        barcodes=tuple(number for _, number in seen),
    )


def demo() -> None:
    """Write the clips of `make demo`: pleasant to look at, named after what happens."""
    coding = Coding(options={"crf": "26", "preset": "slow", **_SAME}, container=_FASTSTART)
    for scene, length_s in (
        (scenes.pan_right, 6),
        (scenes.zoom_in, 5),
        (scenes.bouncing_ball, 6),
        (scenes.dissolve, 5),
        (scenes.hard_cut, 5),
        (scenes.passer_by, 7),
    ):
        frames = 25 * length_s
        path = DEMO_CLIPS / f"{scene.__name__}.mp4"
        write_clip(path, scene(480, 270, frames), steady(frames), coding)
    # Longer ones, for their style as a whole.
    small = replace(coding, options={**coding.options, "crf": "28"})
    for scene in (scenes.handheld, scenes.sweeping, scenes.slideshow, scenes.fast_cut):
        frames = 25 * 24
        path = DEMO_CLIPS / f"{scene.__name__}.mp4"
        write_clip(path, scene(320, 180, frames), steady(frames), small)


def main() -> None:
    CLIPS.mkdir(exist_ok=True)
    DEMO_CLIPS.mkdir(exist_ok=True)
    truths = []
    for truth in (*healthy(), *broken()):
        data = (CLIPS / truth.file).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        truths.append(replace(truth, size_bytes=len(data), sha256=digest))
    lines = ",\n".join(json.dumps(asdict(truth), ensure_ascii=False) for truth in truths)
    (CLIPS / "clips.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    demo()


if __name__ == "__main__":
    main()
