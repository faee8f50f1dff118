"""Small videos whose frames carry their number, with clocks, headers and bytes gone wrong.

Each maker writes a file and returns when each frame should be shown. Situations are those that
people report in public: late packets, joined recordings, headers that lie, half-written files.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

SIDE = 64
RATE = 25
RATE_TICK = Fraction(1, RATE)


@dataclass(frozen=True)
class Truth:
    """Frames that a file should show.

    Attributes:
        frames: (seconds from the first frame, number) in order.
        duration_s: from the first frame to the end of the last one's display.
        lost_from_s: from here on frames are promised that do not decode.
    """

    frames: tuple[tuple[Fraction, int], ...]
    duration_s: Fraction
    lost_from_s: Fraction | None = None


def picture(number: int) -> npt.NDArray[np.uint8]:
    """Sixteen squares, black or white, that tell a number below 65,536; RGB."""
    bits = np.array([(number >> k) & 1 for k in range(16)], np.uint8).reshape(4, 4)
    squares = np.kron(bits * 215 + 20, np.ones((SIDE // 4, SIDE // 4), np.uint8))
    return np.repeat(squares[..., None], 3, axis=2)


def number_of(picture_HWC: npt.NDArray[np.uint8]) -> int:
    """The number of a picture of any size."""
    step = picture_HWC.shape[0] // 4
    middles = picture_HWC[step // 2 :: step, step // 2 :: step].mean(axis=-1) > 127
    return sum(int(bit) << k for k, bit in enumerate(middles[:4, :4].reshape(-1)))


@dataclass(frozen=True)
class Coding:
    """How frames are encoded; ticks default to the numbers of the frames."""

    codec: str = "libx264"
    group: int = 12
    b_frames: int = 0
    base: int = 0
    side: int = SIDE
    ticks: Sequence[int] | None = None
    tick_s: Fraction = RATE_TICK
    container: str | None = None
    muxer: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


def encode(path: Path, count: int, coding: Coding | None = None) -> Truth:
    """Write `count` frames."""
    coding = coding or Coding()
    options = {"threads": "1", **coding.options}
    if coding.codec == "libx265":
        options.setdefault("x265-params", "log-level=none:pools=1")
    with av.open(path, "w", format=coding.container, options=coding.muxer) as out:
        stream = out.add_stream(coding.codec, rate=RATE, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = coding.side
        stream.pix_fmt = "yuvj420p" if coding.codec == "mjpeg" else "yuv420p"
        stream.gop_size = coding.group
        stream.codec_context.max_b_frames = coding.b_frames
        stream.codec_context.time_base = coding.tick_s
        ticks = list(coding.ticks or range(count))
        for place, tick in enumerate(ticks):
            pixels = np.kron(
                picture(coding.base + place),
                np.ones((coding.side // SIDE, coding.side // SIDE, 1), np.uint8),
            )
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = tick, coding.tick_s
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    times = [(tick - ticks[0]) * coding.tick_s for tick in ticks]
    shown = tuple((time, coding.base + place) for place, time in enumerate(times))
    return Truth(shown, times[-1] + RATE_TICK)


def remux(
    source: Path, path: Path, change: Callable[[int, av.Packet], None], container: str | None = None
) -> None:
    """Copy packets, each after `change(number in decoding order, packet)`."""
    with av.open(source) as inp, av.open(path, "w", format=container) as out:
        stream = out.add_stream_from_template(inp.streams.video[0])
        packets = (p for p in inp.demux(video=0) if p.size)
        for number, packet in enumerate(packets):
            change(number, packet)
            packet.stream = stream
            out.mux(packet)
    os.remove(source)


def wild(path: Path, seconds: float, places: Sequence[int] = (100,), b_frames: int = 0) -> Truth:
    """Some packets, by their place in decoding order, have a time that is off by `seconds`."""
    source = path.with_suffix(".src.mp4")
    truth = encode(source, 250, Coding(group=25, b_frames=b_frames))
    left_out: set[int] = set()

    def change(number: int, packet: av.Packet) -> None:
        if number not in places:
            return
        assert packet.pts is not None
        left_out.add(round(packet.pts * packet.time_base * RATE))
        packet.pts += int(seconds / packet.time_base)

    remux(source, path, change)
    kept = tuple(pair for pair in truth.frames if pair[1] not in left_out)
    return replace(truth, frames=kept)


def wild_transport_stream(path: Path, seconds: float, *places: int, b_frames: int = 0) -> Truth:
    """Packets of a transport stream have another time, as transmission errors leave it."""
    coding = Coding(group=25, container="mpegts", b_frames=b_frames)
    truth = encode(path, 250, coding)
    data = bytearray(path.read_bytes())
    starts = [
        at + data[at : at + 188].index(b"\x00\x00\x01\xe0")
        for at in range(0, len(data), 188)
        if data[at + 1] & 0x40 and b"\x00\x00\x01\xe0" in data[at : at + 188]
    ]
    first = min(_read_pts(data[at + 9 : at + 14]) for at in starts)
    left_out = set()
    for at in (starts[place] + 9 for place in places):
        pts = _read_pts(data[at : at + 5])
        left_out.add(round(Fraction(pts - first, 90_000) * RATE))
        data[at : at + 5] = _write_pts((pts + int(seconds * 90_000)) % (1 << 33), data[at] >> 4)
    path.write_bytes(data)
    return replace(truth, frames=tuple(pair for pair in truth.frames if pair[1] not in left_out))


def wild_flash(path: Path, seconds: float, *places: int) -> Truth:
    """Tags of a Flash video have another time."""
    truth = encode(path, 250, Coding(group=25))
    data = bytearray(path.read_bytes())
    at, number, left_out = 13, -1, set()  # the first video tag is the decoder's configuration
    while at + 11 < len(data):
        if data[at] == 9 and data[at + 12] == 1:
            number += 1
            if number in places:
                left_out.add(number)
                time = (int.from_bytes(data[at + 4 : at + 7]) | data[at + 7] << 24) + int(
                    1000 * seconds
                )
                data[at + 4 : at + 7] = (time & 0xFFFFFF).to_bytes(3)
                data[at + 7] = time >> 24 & 0xFF
        at += 11 + int.from_bytes(data[at + 1 : at + 4]) + 4
    path.write_bytes(data)
    return replace(truth, frames=tuple(pair for pair in truth.frames if pair[1] not in left_out))


def _read_pts(five: bytes) -> int:
    high, middle, low = five[0] >> 1 & 7, int.from_bytes(five[1:3]), int.from_bytes(five[3:5])
    return high << 30 | (middle >> 1) << 15 | low >> 1


def _write_pts(pts: int, prefix: int) -> bytes:
    high = prefix << 4 | (pts >> 30 & 7) << 1 | 1
    middle, low = (pts >> 15 & 0x7FFF) << 1 | 1, (pts & 0x7FFF) << 1 | 1
    return bytes([high]) + middle.to_bytes(2) + low.to_bytes(2)


def jump(path: Path, seconds: int, at: int = 1, container: str | None = None) -> Truth:
    """The clock jumps forward once, and stays there."""
    ticks = [40 * n + (1000 * seconds if n >= at else 0) for n in range(100)]
    return encode(path, 100, Coding(ticks=ticks, tick_s=Fraction(1, 1000), container=container))


def claim(
    path: Path, mark: bytes, behind: int, value: bytes, coding: Coding | None = None
) -> Truth:
    """A number of the header, found by what stands before it, is overwritten."""
    truth = encode(path, 100, coding)
    data = bytearray(path.read_bytes())
    place = data.index(mark) + len(mark) + behind
    data[place : place + len(value)] = value
    path.write_bytes(data)
    return truth


def claim_mkv(path: Path, milliseconds: float) -> Truth:
    """Matroska's Duration."""
    return claim(path, b"\x44\x89\x88", 0, struct.pack(">d", milliseconds))


def damage(path: Path, codec: str, share: float, fill: str, container: str | None = None) -> Truth:
    """All bytes of the payload from `share` on are zeros or noise."""
    muxer = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    truth = encode(path, 300, Coding(codec, group=25, muxer=muxer, container=container))
    data = bytearray(path.read_bytes())
    begin = max(data.find(b"mdat"), 0)
    place = begin + int((len(data) - begin) * share)
    size = len(data) - place
    data[place:] = bytes(size) if fill == "zeros" else random.Random(7).randbytes(size)
    path.write_bytes(data)
    return replace(truth, lost_from_s=truth.duration_s * Fraction(share))


def join(path: Path, *codings: Coding) -> Truth:
    """Several recordings of two seconds, one behind the other."""
    frames: list[tuple[Fraction, int]] = []
    content = b""
    for number, coding in enumerate(codings):
        part = path.with_suffix(f".{number}{path.suffix}")
        truth = encode(part, 50, replace(coding, base=50 * number))
        frames += [(time + 2 * number, shown) for time, shown in truth.frames]
        content += part.read_bytes()
        part.unlink()
    path.write_bytes(content)
    return Truth(tuple(frames), Fraction(2 * len(codings)))


def wrap(path: Path, before_s: int) -> Truth:
    """A transport stream that begins so many seconds before its 33-bit clock wraps."""
    off = (1 << 33) - before_s * 90_000
    ticks = [off + 3600 * n for n in range(250)]
    muxer = {"mpegts_copyts": "1"}
    tick = Fraction(1, 90_000)
    coding = Coding(group=25, ticks=ticks, tick_s=tick, container="mpegts", muxer=muxer)
    return encode(path, 250, coding)


def encrypt(path: Path) -> Truth:
    """An MP4 under common encryption: packets are there, and no decoder can read them."""
    muxer = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "00112233445566778899aabbccddeeff",
        "encryption_kid": "112233445566778899aabbccddeeff00",
    }
    return replace(encode(path, 100, Coding(muxer=muxer)), frames=())


TS = Coding(container="mpegts")
OTHER_PIDS = {"mpegts_start_pid": "0x200", "mpegts_pmt_start_pid": "0x1200"}
LONG = {"preset": "ultrafast", "x264-params": "scenecut=0"}
REFRESH = {"preset": "ultrafast", "x264-params": "scenecut=0:intra-refresh=1"}

# Files whose every frame is known.
MAKERS: dict[str, Callable[[Path], Truth]] = {
    "late_3h.mp4": lambda p: wild(p, 3 * 3600),
    "late_4s.mp4": lambda p: wild(p, 4),
    "late_4s_b.mkv": lambda p: wild(p, 4, b_frames=2),
    "late_half_a_second.mp4": lambda p: wild(p, 0.5),
    "late_half_a_second_b.mp4": lambda p: wild(p, 0.5, (101,), b_frames=2),
    "late_day_b.mp4": lambda p: wild(p, 86_400, (88,), b_frames=2),
    "late_key_frame.mkv": lambda p: wild(p, 30, (125,)),
    "late_at_the_end.mp4": lambda p: wild(p, 500, (247,)),
    "late_burst.ts": lambda p: wild_transport_stream(p, 3600, 60, 61, 62, 63, 64),
    "late_b.ts": lambda p: wild_transport_stream(p, 7, 110, b_frames=2),
    "late_9h.ts": lambda p: wild_transport_stream(p, 9 * 3600, 110),
    "late_key_frame.ts": lambda p: wild_transport_stream(p, 20, 125),
    "late_half_a_wrap.ts": lambda p: wild_transport_stream(p, 47_000, 77),
    "early_2s.ts": lambda p: wild_transport_stream(p, -2, 110),
    "early_key_frame.ts": lambda p: wild_transport_stream(p, -3, 125),
    "early_burst.ts": lambda p: wild_transport_stream(p, -3, 131, 132, 133),
    "early_b.ts": lambda p: wild_transport_stream(p, -4, 140, b_frames=2),
    "late_week.flv": lambda p: wild_flash(p, 600_000, 130),
    "early_2s.flv": lambda p: wild_flash(p, -2, 130),
    "early_and_late.flv": lambda p: wild_flash(p, -3, 130, 131, 190),
    "jump_to_wall_clock.mkv": lambda p: jump(p, 1_700_000_000),
    "jump_a_day.mp4": lambda p: jump(p, 86_400, 50),
    "jump_a_day.ts": lambda p: jump(p, 86_400, 50, "mpegts"),
    "jump_a_week.flv": lambda p: jump(p, 7 * 86_400, 50),
    "says_1e9_s.flv": lambda p: claim(p, b"duration\0", 0, struct.pack(">d", 1e9)),
    "says_1e8_s.mkv": lambda p: claim_mkv(p, 1e11),
    "says_6e9_s.mkv": lambda p: claim_mkv(p, 6e12),
    "says_an_hour.mkv": lambda p: claim_mkv(p, 3.6e6),
    "says_minus_5_s.mkv": lambda p: claim_mkv(p, -5000.0),
    "says_nan.mkv": lambda p: claim_mkv(p, float("nan")),
    "says_infinity.mkv": lambda p: claim_mkv(p, float("inf")),
    "says_2e31_frames.avi": lambda p: claim(
        p, b"strh", 36, struct.pack("<I", 0x7FFFFFFF), Coding("mpeg4")
    ),
    "says_a_day_in_mdhd.mp4": lambda p: claim(p, b"mdhd", 16, struct.pack(">I", 12_800 * 86_400)),
    "says_a_day_in_mvhd.mp4": lambda p: claim(p, b"mvhd", 16, struct.pack(">I", 1000 * 86_400)),
    "before_wrap.ts": lambda p: wrap(p, 30),
    "ends_at_wrap.ts": lambda p: wrap(p, 10),
    "across_wrap.ts": lambda p: wrap(p, 5),
    "minutes_before_wrap.ts": lambda p: wrap(p, 90),
    "joined.ts": lambda p: join(p, TS, TS, TS),
    "joined_new_pids.ts": lambda p: join(p, TS, replace(TS, muxer=OTHER_PIDS)),
    "joined_new_codec.ts": lambda p: join(p, TS, replace(TS, codec="libx265")),
    "joined_new_size.ts": lambda p: join(p, TS, replace(TS, side=2 * SIDE)),
    "joined_all_new.ts": lambda p: join(
        p, TS, replace(TS, codec="libx265", muxer=OTHER_PIDS), replace(TS, side=2 * SIDE)
    ),
    "joined.mpg": lambda p: join(p, Coding("mpeg1video"), Coding("mpeg2video")),
    "joined.mkv": lambda p: join(p, Coding(), Coding()),
    "one_key_frame.ts": lambda p: encode(p, 750, replace(TS, group=10**6, options=LONG)),
    "one_key_frame.mp4": lambda p: encode(p, 750, Coding(group=10**6, options=LONG)),
    "key_frame_a_quarter_minute.ts": lambda p: encode(
        p, 1500, replace(TS, group=375, options=LONG)
    ),
    "intra_refresh.ts": lambda p: encode(p, 500, replace(TS, group=50, options=REFRESH)),
}

# Where the bytes end to be a video: rows up to there, errors from there on.
DAMAGED: dict[str, Callable[[Path], Truth]] = {
    f"{codec}_{fill}_{int(100 * share)}.{kind}": (
        lambda p, c=codec, s=share, f=fill: damage(p, c, s, f)  # type: ignore[misc]
    )
    for (codec, kind), share, fill in itertools.product(
        [
            ("libx264", "mp4"),
            ("libx265", "mp4"),
            ("mpeg4", "mp4"),
            ("libvpx-vp9", "mp4"),
            ("mjpeg", "mov"),
            ("libx264", "mkv"),
            ("libx265", "ts"),
        ],
        [0.05, 0.5],
        ["zeros", "noise"],
    )
}
