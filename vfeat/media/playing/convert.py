"""A stretch of a video as MP4: its packets copied where browsers play them, else encoded anew."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vfeat.errors import UnitError
from vfeat.media.container import Opened
from vfeat.media.source import Source

_CLOCK = Fraction(1, 90_000)
_MOST_HEIGHT = 720
_EARLIER_S = 12  # where to enter a container whose seeking lands behind its target
_MOST_BYTES = 96 << 20
_COPIED = {"h264": {"yuv420p", "yuvj420p"}}  # codecs that every browser plays in MP4


@dataclass(frozen=True)
class Stretch:
    """Part of a video.

    Attributes:
        start_s: its first frame, seconds after the first presented frame of the video.
        is_copied: its packets are those of the video.
        mp4: the file.
    """

    start_s: float
    is_copied: bool
    mp4: bytes


def convert(source: Source, from_s: float, seconds: float, max_pixels: int) -> Stretch:
    """Make the stretch that begins on display at `from_s`; pictures only, no sound.

    Copied packets begin with the keyframe before it.

    Raises:
        UnitError: nothing is on display there, or it is too large.
    """
    with Opened(source, max_pixels) as opened:
        first = _first_frame(opened)
        origin = first.pts or 0
        begin = origin + int(from_s / opened.tick_s)
        end = begin + int(seconds / opened.tick_s)
        context = opened.stream.codec_context
        plays = context.pix_fmt in _COPIED.get(context.name, ()) and not _turns(first)
        if plays and _seek(opened, begin):
            copied = _copied(opened, begin, end, origin)
            if copied is not None:
                return copied
        early = int(_EARLIER_S / opened.tick_s)
        for target in (begin, max(origin, begin - early)):
            if _seek(opened, target) and (made := _encoded(opened, begin, end, origin, True)):
                return made
    with Opened(source, max_pixels) as opened:  # a container that cannot be entered there
        made = _encoded(opened, begin, end, origin, False)
    if made is None:
        raise UnitError("undecodable", f"{source.uri}: no frame can be decoded at {from_s:g} s")
    return made


def _first_frame(opened: Opened) -> VideoFrame:
    for frame in _decodable(opened):
        if frame.pts is not None:
            return frame
    raise UnitError("undecodable", f"{opened.source.uri}: no frame can be decoded")


def _turns(frame: VideoFrame) -> int:
    """Return how many quarters the display turns a frame, counter-clockwise."""
    return round((frame.rotation or 0) / 90) % 4


def _seek(opened: Opened, target: int) -> bool:
    try:
        opened.container.seek(target, stream=opened.stream, backward=True)
    except av.error.FFmpegError:
        return False
    return True


def _copied(opened: Opened, begin: int, end: int, origin: int) -> Stretch | None:
    """Copy packets; None where their times do not allow it."""
    packets: list[Packet[VideoStream]] = []
    size = 0
    for packet in opened.container.demux(opened.stream):
        if packet.pts is None or packet.dts is None:
            if packet.size:
                return None
            continue
        if packet.is_keyframe and packet.pts <= begin:
            packets, size = [], 0  # a later entry into the stretch
        if not packets and not packet.is_keyframe:
            continue
        if packet.dts >= end:
            break
        packets.append(packet)
        size += packet.size
        _check_size(size, opened)
    if not packets or packets[0].pts is None or packets[0].pts > begin:
        return None
    key = packets[0].pts
    packets = [packet for packet in packets if packet.pts is not None and packet.pts >= key]
    decode = [packet.dts or 0 for packet in packets]
    if any(b <= a for a, b in pairwise(decode)):
        return None
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        target = out.add_stream_from_template(opened.stream)
        for packet in packets:
            packet.pts, packet.dts = (packet.pts or 0) - key, (packet.dts or 0) - key
            packet.stream = target
            out.mux(packet)
    return Stretch(float((key - origin) * opened.tick_s), True, file.getvalue())


def _encoded(opened: Opened, begin: int, end: int, origin: int, is_entered: bool) -> Stretch | None:
    """Encode; None without a frame, or where the entry was behind the beginning."""
    frames = _frames(opened, begin, end)
    first = next(frames, None)
    if first is None or (is_entered and (first.pts or 0) > begin):
        return None
    start, turns = first.pts or 0, _turns(first)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        target: VideoStream = out.add_stream("libx264", rate=30)  # its rate; times are the frames'
        target.width, target.height = _size(first, turns)
        target.pix_fmt = "yuv420p"
        target.options = {"preset": "veryfast", "crf": "22", "g": "48"}
        target.codec_context.time_base = _CLOCK
        last = -1
        for frame in chain([first], frames):
            picture = _turned(frame, turns).reformat(target.width, target.height, "yuv420p")
            picture.pts = max(last + 1, int(((frame.pts or 0) - start) * opened.tick_s / _CLOCK))
            picture.time_base = _CLOCK
            last = picture.pts
            out.mux(target.encode(picture))
            _check_size(file.tell(), opened)
        out.mux(target.encode())
    return Stretch(float((start - origin) * opened.tick_s), False, file.getvalue())


def _turned(frame: VideoFrame, turns: int) -> VideoFrame:
    if not turns:
        return frame
    rgb_HWC = np.rot90(frame.to_ndarray(format="rgb24"), turns)
    upright_HWC = np.ascontiguousarray(rgb_HWC, np.uint8)
    return VideoFrame.from_ndarray(upright_HWC, format="rgb24")


def _frames(opened: Opened, begin: int, end: int) -> Iterator[VideoFrame]:
    """Yield the frame on display at `begin` and those after it, up to `end`."""
    shown: VideoFrame | None = None
    for frame in _decodable(opened):
        if frame.pts is None:
            continue
        if frame.pts <= begin:
            shown = frame
            continue
        if shown is not None:
            yield shown
            shown = None
        if frame.pts >= end:
            return
        yield frame
    if shown is not None:
        yield shown


def _decodable(opened: Opened) -> Iterator[VideoFrame]:
    for packet in opened.container.demux(opened.stream):
        try:
            for frame in packet.decode():
                if isinstance(frame, VideoFrame):
                    yield frame
        except av.error.FFmpegError:
            continue  # a damaged packet costs its frames


def _size(frame: VideoFrame, turns: int) -> tuple[int, int]:
    width, height = frame.width, frame.height
    if turns % 2:
        width, height = height, width
    scale = min(1.0, _MOST_HEIGHT / height)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _check_size(size: int, opened: Opened) -> None:
    if size > _MOST_BYTES:
        raise UnitError(
            "too_large", f"{opened.source.uri}: this stretch takes more than {_MOST_BYTES:,} bytes"
        )
