"""The default decoder: PyAV, one thread, packet by packet past the bad ones."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, cast

import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from vfeat.media.container import Opened, check_pixels, out_of_memory
from vfeat.media.decoder import RGB, DecodeRequest, DecodeStats, Frame
from vfeat.media.scan import interval_of, packets, scan
from vfeat.media.timeline import Unwrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.frame import VideoFrame

# Nearer targets are reached by decoding on: a seek costs a group of pictures or so.
_NEAR_S = Fraction(1)
# Containers that store decoding times only: frames come in order, their times do not.
_DECODE_TIMES_ONLY = {"avi"}
_REORDER_FRAMES = 16
_RECENT = 64
_MARGIN_S = Fraction(1, 10)


class PyavDecoder:
    """Frames of a video's default stream through PyAV."""

    def __init__(self, request: DecodeRequest) -> None:
        """Open the video; nothing is decoded yet."""
        self._request = request
        self.stats = DecodeStats()
        self._max_pixels = request.limits.max_frame_pixels
        self._scout: _Scout | None = None
        self._reformatter = VideoReformatter()
        self._promised: list[int] = []
        self._fixed_promises = False
        self._last_end = request.timeline.origin_tick
        self._open()

    def _open(self) -> None:
        self._opened = Opened(self._request.source, self._max_pixels)
        context = self._opened.stream.codec_context
        # Processes scale, threads do not: a second thread buys 0-20 %.
        context.thread_count = 1
        context.options = {"max_pixels": str(self._max_pixels)}
        self._interval = max(interval_of(self._opened), 1)
        self._sar = self._opened.stream.sample_aspect_ratio or Fraction(1)
        if self._request.timeline.restarts and not self._fixed_promises:
            self._scan_promises()
        self._start_reading()

    def _scan_promises(self) -> None:
        """Packets' own times repeat after a restart: take the scan's continued line."""
        with Opened(self._request.source, self._max_pixels) as opened:
            found = scan(opened, self._request.progress)
        self._promised = [int(tick) for tick in found.ticks]
        self._last_end = found.end_tick
        self._fixed_promises = True

    def _start_reading(self) -> None:
        self._position: int | None = None
        self._ahead: deque[Frame] = deque()
        self._frames: Iterator[Frame] = self._timed(self._decode())

    def read(self) -> Frame | None:
        """The next frame, or None at the end."""
        frame = self._ahead.popleft() if self._ahead else next(self._frames, None)
        if frame is not None:
            self._position = frame.tick
        return frame

    def read_raw(self) -> tuple[VideoFrame, int] | None:
        """The first picture as PyAV has it, with its tick; for probing."""
        for frame in self._sorted(self._decode()):
            return frame, frame.pts or 0
        return None

    def skip_to(self, tick: int) -> None:
        """Seek forward if a keyframe lies between here and the frame shown at `tick`."""
        if self._request.timeline.restarts:
            return
        if self._position is None:
            # Some streams (old x264 4:4:4) need frame 0 decoded before any seek.
            first = self.read()
            if first is None:
                return
            self._ahead.append(first)
        near = ceil(_NEAR_S / self._opened.tick_s)
        assert self._position is not None
        if tick - self._position > near:
            self._seek(tick, self._position)

    def _seek(self, tick: int, position: int) -> None:
        if self._scout is None:
            self._scout = _Scout(self._request, self._max_pixels)
        margin = min(2 * self._interval, ceil(_MARGIN_S / self._opened.tick_s))
        target = self._scout.find(tick - margin, position + self._interval)
        while target is not None:
            self._request.progress()
            if self._land(target, tick):
                return
            # Damaged or oddly indexed: the picture wanted lies before the landing.
            target = self._scout.earlier(target, position)
            if target is None:
                self._reopen(tick)

    def _land(self, target: int, tick: int) -> bool:
        """Seek; True if the first frame that comes out is not too late."""
        try:
            self._opened.container.seek(target, backward=True, stream=self._opened.stream)
        except av.error.FFmpegError:
            return False
        self._start_reading()
        frame = next(self._frames, None)
        if frame is None or frame.tick > tick:
            return False
        self._ahead.append(frame)
        self._position = frame.tick
        return True

    def _reopen(self, tick: int) -> None:
        """From the start: slow, and right whatever the index says."""
        self._opened.close()
        self._open()

    def promised(self, after: int, until: int) -> int:
        """Packets that begin in (after, until], among those read so far."""
        if until <= after:
            return 0
        return bisect_right(self._promised, until) - bisect_right(self._promised, after)

    def end_tick(self) -> int:
        """Where the last packet's display ends."""
        return self._last_end

    def interval(self) -> int:
        """Ticks between two frames: the median of the latest, or by the header's rate."""
        steps = np.diff(self._promised[-_RECENT:])
        return max(int(np.median(steps)), 1) if len(steps) else self._interval

    def rest(self) -> None:
        """Nothing to do: no thread works ahead."""

    def close(self) -> None:
        """Close the container and the scout."""
        # The generators hold this object: without them it goes at once, with its codec.
        self._frames = iter(())
        self._ahead.clear()
        self._opened.close()
        if self._scout is not None:
            self._scout.close()

    def _decode(self) -> Iterator[VideoFrame]:
        """Frames as the decoder gives them; bad packets are counted and passed over."""
        context = self._opened.stream.codec_context
        for packet in packets(self._opened):
            self._request.progress()
            if not (packet.is_discard or packet.is_corrupt or packet.pts is None):
                self._note(packet.pts, packet.duration or 1)
            try:
                frames = context.decode(packet)
            except MemoryError as error:
                raise out_of_memory(self._request.source.uri) from error
            except av.error.FFmpegError as error:
                self._refused(error)
                continue
            yield from frames
        try:
            yield from context.decode(None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            self._refused(error)

    def _refused(self, error: av.error.FFmpegError) -> None:
        self.stats.bad_packets += 1
        if error.log:
            self.stats.complaint = str(error.log[-1]).strip()

    def _note(self, pts: int, duration: int) -> None:
        """Remember what a packet promises."""
        if self._fixed_promises:
            return
        self._last_end = max(self._last_end, pts + duration)
        if not self._promised or pts > self._promised[-1]:
            self._promised.append(pts)
        elif self._promised[bisect_right(self._promised, pts) - 1] != pts:
            insort(self._promised, pts)

    def _timed(self, frames: Iterator[VideoFrame]) -> Iterator[Frame]:
        """Frames with ticks on one continued line.

        Only a restart that the packets show is continued: from a damaged group of
        pictures, decoders give single frames much too late.
        """
        unwrap = Unwrap(self._opened.tick_s) if self._request.timeline.restarts else None
        counted = 0
        for frame in self._sorted(frames):
            self.stats.frames_decoded += 1
            length = frame.duration or self._interval
            tick = counted if frame.pts is None else frame.pts
            counted = tick + length
            if unwrap is not None:
                tick = unwrap(tick, length)
            self._last_end = max(self._last_end, tick + length)
            yield self._frame(frame, tick)

    def _sorted(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """The same frames; where a container keeps decoding times, with these in order."""
        if self._opened.container.format.name not in _DECODE_TIMES_ONLY:
            yield from frames
            return
        waiting: deque[VideoFrame] = deque()
        ticks: list[int] = []
        for frame in frames:
            waiting.append(frame)
            if frame.pts is not None:
                insort(ticks, frame.pts)
            if len(waiting) > _REORDER_FRAMES:
                yield _retimed(waiting.popleft(), ticks)
        while waiting:
            yield _retimed(waiting.popleft(), ticks)

    def _frame(self, frame: VideoFrame, tick: int) -> Frame:
        turns = frame.rotation // 90
        sar = 1 / self._sar if turns % 2 and self._sar else self._sar
        return Frame(tick, lambda: self._to_rgb(frame, turns), sar)

    def _to_rgb(self, frame: VideoFrame, turns: int) -> RGB:
        check_pixels(frame.width, frame.height, self._request.source.uri, self._max_pixels)
        try:
            # One thread: FFmpeg would take every core for the conversion.
            converted = self._reformatter.reformat(frame, format="rgb24", threads=1)
        except MemoryError as error:
            raise out_of_memory(self._request.source.uri) from error
        picture = cast(RGB, converted.to_ndarray())
        return np.rot90(picture, k=turns) if turns else picture


def _retimed(frame: VideoFrame, ticks: list[int]) -> VideoFrame:
    if ticks:
        frame.pts = ticks.pop(0)
    return frame


class _Scout:
    """A second look at the same video that finds where a seek would land."""

    def __init__(self, request: DecodeRequest, max_pixels: int) -> None:
        self._opened = Opened(request.source, max_pixels)
        self._origin = request.timeline.origin_tick
        self._step = ceil(2 / self._opened.tick_s)

    def find(self, tick: int, position: int) -> int | None:
        """A seek target that lands on a keyframe in (position, tick], or None."""
        target, step = tick, self._step
        while target > position:
            keyframe = self._keyframe_at(target)
            if keyframe is not None and keyframe <= tick:
                return target if keyframe > position else None
            # Landed between keyframes: the next one is too late. Look further back.
            target, step = target - step, step * 2
        return None

    def earlier(self, target: int, position: int) -> int | None:
        """The next target to try before `target`; None: start again instead."""
        self._step *= 2
        before = target - self._step
        return before if before > position else None

    def _keyframe_at(self, target: int) -> int | None:
        stream = self._opened.stream
        try:
            self._opened.container.seek(target, backward=True, stream=stream)
        except av.error.FFmpegError:
            return None
        for packet in packets(self._opened):
            if packet.is_keyframe and packet.pts is not None:
                return packet.pts
        return None

    def close(self) -> None:
        self._opened.close()
