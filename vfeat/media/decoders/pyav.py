"""The default decoder: PyAV, one thread, packet by packet past the bad ones.

Parts that need not be decoded are skipped: by a seek if the container has an index, else by reading
packets on and decoding from the last keyframe that came. One law keeps every way from running in
circles: a skip that fails leads back at most to ever earlier keyframes, and then, once, to the last
place that proved right; from there on all packets are decoded.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from fractions import Fraction
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING, cast

import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from vfeat.media.clock import MAX_REORDER
from vfeat.media.container import Opened, check_pixels, out_of_memory
from vfeat.media.decoders.base import RGB, DecodeRequest, DecodeStats, Frame
from vfeat.media.decoders.decode_times import has_display_times, sorted_times
from vfeat.media.decoders.scout import Scout
from vfeat.media.decoders.sparing import Doubt, Sparing, sparing
from vfeat.media.packets import PacketReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.frame import VideoFrame

    from vfeat.media.clock import Timed
    from vfeat.media.packets import Read
    from vfeat.media.samples import Samples

# Nearer targets are reached by decoding on: a seek costs a group of pictures or so.
_NEAR_S = Fraction(1)
# Where landings are not on keyframes, a search costs packets: only for targets this far away.
_FAR_S = Fraction(10)
_STEP_BACK_S = 2
_MARGIN_S = Fraction(1, 10)
# Packets held back until it is clear from which of them on decoding is needed.
_HELD_BYTES = 64 << 20
_RECENT = 64
# Marker of a time that cannot be right, on its way through the decoder.
_WILD = -(1 << 60)


class PyavDecoder:
    """Frames of a video's default stream through PyAV."""

    def __init__(self, request: DecodeRequest) -> None:
        """Open the video; nothing is decoded yet."""
        self._request = request
        self.stats = DecodeStats()
        self._max_pixels = request.limits.max_frame_pixels
        self._scout: Scout | None = None
        self._sparing: Sparing | None = None
        self._is_sparing = False  # by the decoder's own setting
        self._reformatter = VideoReformatter()
        self._promised: list[int] = []
        self._last_end = request.timeline.origin_tick
        self._opened = self._open(request)
        self._reader = PacketReader(
            self._opened, request.progress, continues=request.timeline.restarts
        )
        self._sar = Fraction(1)
        self._interval = max(self._opened.interval, 1)
        self._margin = min(2 * self._interval, ceil(_MARGIN_S / self._opened.tick_s))
        # A landing has failed when packets this far behind its target bring no frame.
        self._near = ceil(_NEAR_S / self._opened.tick_s)
        self._patience = self._near + 2 * MAX_REORDER * self._interval
        self._seeks = not request.timeline.restarts
        self._skips = True
        self._position: int | None = None  # tick of the last frame that was returned
        self._floor: int | None = None  # frames up to here were returned before a seek
        self._proved: int | None = None  # seek target that led to the right frames; None: start
        self._target: int | None = None  # target of the seek that is being tried
        self._landing: int | None = None  # tick that the seek or skip must not miss
        self._skip_until: int | None = None
        self._asked = request.timeline.origin_tick  # latest tick that was requested
        self._step_back = 0
        self._gave_up = False
        self._start_reading()

    def _open(self, request: DecodeRequest) -> Opened:
        return Opened(request.source, request.limits.max_frame_pixels)

    def _start_reading(self) -> None:
        self._ahead: deque[Frame] = deque()
        self._untimed_tick = 0
        if self._sparing is not None:
            self._sparing.enter()
        sane = (frame for frame in self._decode() if frame.pts != _WILD)
        self._raw = sane if has_display_times(self._opened) else sorted_times(sane)
        self._frames: Iterator[Frame] = self._timed(self._raw)

    def spare(self, samples: Samples) -> None:
        """Decode no picture that no sample shows, where the stream can do without it."""
        if not self._request.timeline.restarts:
            self._sparing = sparing(self._opened, samples)
        if self._sparing is not None and self._promised:
            self._sparing.enter_behind(self._promised[-1])

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end."""
        while True:
            try:
                frame = self._ahead.popleft() if self._ahead else next(self._frames, None)
            except Doubt:
                self._decode_all()
                continue
            if self._landing is not None:
                if frame is None or frame.tick > self._landing:
                    self._retreat(self._landing)
                    continue
                self._landing, self._proved = None, self._target
            if frame is None:
                return None
            if self._floor is not None and frame.tick <= self._floor:
                continue  # decoded again after a seek
            self._position = frame.tick
            return frame

    def read_raw(self) -> tuple[VideoFrame, int] | None:
        """Return the first picture as PyAV has it, with its tick; `read` will return it again."""
        frame = next(self._raw, None)
        if frame is None:
            return None
        self._frames = self._timed(chain([frame], self._raw))
        return frame, frame.pts or 0

    def resumed(self, request: DecodeRequest) -> PyavDecoder:
        """Return this decoder, of which one picture was read at most, as that of a request.

        Args:
            request: of the same video, whose clock does not start again.
        """
        self._request = request
        self._reader.report_to(request.progress)
        self._asked = request.timeline.origin_tick
        self._last_end = max(self._last_end, request.timeline.origin_tick)
        return self

    def skip_to(self, tick: int) -> None:
        """Skip what need not be decoded to show the frame on display at `tick`."""
        if self._position is None:
            # Some streams (old x264 4:4:4) need frame 0 decoded before any seek.
            first = self.read()
            if first is None:
                return
            self._ahead.append(first)
        assert self._position is not None
        if self._sparing is not None:
            tick = self._sparing.needed_from(self._position, tick)
        if not self._skips or tick <= self._asked:
            return
        if tick - self._position <= self._near:
            return
        self._asked = tick
        self._step_back = ceil(_STEP_BACK_S / self._opened.tick_s)
        target = self._find(tick, self._position) if self._seeks else None
        if target is not None:
            self._seek(target, tick)
        self._skip_until = tick

    def _find(self, tick: int, position: int) -> int | None:
        if self._scout is None:
            request = self._request
            self._scout = Scout(request.source, self._max_pixels, request.progress)
        far = tick - position > ceil(_FAR_S / self._opened.tick_s)
        if not (self._scout.lands_on_keyframes or far):
            return None
        return self._scout.find(tick - self._margin, position + self._interval)

    def _seek(self, target: int, tick: int) -> bool:
        """Try a seek that must not miss the frame on display at `tick`."""
        if not self._reader.seek(target):
            return False
        self._floor, self._landing, self._target = self._position, tick, target
        self._skip_until = tick
        self._start_reading()
        return True

    def _retreat(self, tick: int) -> None:
        """Go back after a landing that was too late: damaged, or not where the index has it."""
        self._landing = self._skip_until = None
        position = self._position if self._position is not None else tick
        while self._seeks and self._skips:
            self._step_back *= 2
            target = tick - self._margin - self._step_back
            if target <= position:
                break
            if self._seek(target, tick):
                return
        # Slow, and right whatever index and keyframes are worth.
        self._skips = False
        self._floor = self._position
        self._target = self._proved
        self._go_to(self._proved)

    def _go_to(self, target: int | None) -> None:
        """Read on from a seek target, or from the start."""
        if target is None or not self._reader.seek(target):
            self._reader.rewind()
        self._start_reading()

    def _decode_all(self) -> None:
        """Go back to where the pictures were right, and spare none from there on."""
        self._sparing = None
        if self._landing is not None:
            self._skip_until = self._landing
            self._go_to(self._target)
            return
        self._floor, self._skip_until = self._position, None
        if self._position is not None and self._seeks and self._skips:
            target = self._position - self._margin - ceil(_STEP_BACK_S / self._opened.tick_s)
            if target > self._request.timeline.origin_tick and self._seek(target, self._position):
                self._skip_until = None
                return
        self._target = self._proved
        self._go_to(self._proved)

    def promised(self, after: int, until: int) -> int:
        """Count the packets that begin in (after, until], among those read so far."""
        if until <= after:
            return 0
        return bisect_right(self._promised, until) - bisect_right(self._promised, after)

    def end_tick(self) -> int:
        """Return the end of the last packet's display."""
        return self._last_end

    def interval(self) -> int:
        """Return the ticks between two frames, by the header's rate or the median of the latest.

        The header comes first: what was read so far depends on where the video was entered.
        """
        if self._opened.interval:
            return self._interval
        steps = np.diff(self._promised[-_RECENT:])
        return max(int(np.median(steps)), 1) if len(steps) else self._interval

    def rest(self) -> None:
        """Do nothing: no thread decodes ahead."""

    def close(self) -> None:
        """Close the container and the scout."""
        # The generators hold this object: without them it goes at once, with its codec.
        self._frames = iter(())
        self._ahead.clear()
        self.stats.warnings += [w for w in self._reader.warnings if w not in self.stats.warnings]
        self._reader.close()
        self._opened.close()
        if self._scout is not None:
            self._scout.close()

    def _needed(self) -> Iterator[tuple[Timed[Read], bool]]:
        """Yield packets that must be decoded; True with the first one after a gap."""
        held: list[Timed[Read]] = []
        held_bytes, gap = 0, False
        for timed in self._reader.packets():
            self._note(timed)
            moment = timed.dts if timed.dts is not None else timed.pts
            if self._is_missed(moment):
                self._gave_up = True
                return
            until = self._skip_until
            if until is None:
                yield timed, False
                continue
            if self._starts_group(timed, until):
                gap |= bool(held)
                held, held_bytes = [], 0
            held.append(timed)
            held_bytes += timed.packet.packet.size
            passed = not timed.wild and (moment is None or moment >= until)
            if passed or held_bytes > _HELD_BYTES:
                self._skip_until = None if passed else until
                yield from self._release(held, gap, until)
                held, held_bytes, gap = [], 0, False
        if held:
            yield from self._release(held, gap, self._skip_until)

    def _is_missed(self, moment: int | None) -> bool:
        """Return whether a landing is too far behind its tick to bring the frame there."""
        if self._landing is None or moment is None:
            return False
        return moment > self._landing + self._patience

    def _starts_group(self, timed: Timed[Read], until: int) -> bool:
        """Return whether decoding can begin here and still show the frame on display at `until`."""
        if not timed.packet.packet.is_keyframe or timed.pts is None:
            return False
        return timed.pts <= until - self._margin

    def _release(
        self, held: list[Timed[Read]], gap: bool, until: int | None
    ) -> Iterator[tuple[Timed[Read], bool]]:
        if gap and self._landing is None:
            self._floor, self._landing, self._target = self._position, until, self._proved
        for place, timed in enumerate(held):
            yield timed, gap and place == 0

    def _decode(self) -> Iterator[VideoFrame]:
        """Yield frames as the decoder returns them; count bad packets and pass over them."""
        part: Opened | None = None
        self._gave_up = False
        for timed, gap, spare in self._judged():
            opened = timed.packet.opened
            if part is not opened:
                if part is not None:
                    yield from self._drained(part)
                self._configure(opened)
                part = opened
            elif gap:
                opened.stream.codec_context.flush_buffers()
            if self._is_decoded(spare, timed, opened):
                yield from self._decoded(timed, opened)
        if part is not None and not self._gave_up:
            yield from self._drained(part)

    def _judged(self) -> Iterator[tuple[Timed[Read], bool, bool]]:
        """Yield packets as `_needed` does, and True with those whose picture nobody needs."""
        packets = self._needed()
        for timed, gap in packets:
            if self._sparing is not None:  # from the start, or behind a first picture
                yield from self._sparing.judged(chain([(timed, gap)], packets))
                return
            yield timed, gap, False

    def _is_decoded(self, spare: bool, timed: Timed[Read], opened: Opened) -> bool:
        """Prepare the decoder for a packet; return whether it gets it at all."""
        if self._sparing is None:
            return True
        if spare and self._sparing.drops:
            return False
        if not spare:
            self._sparing.given(timed.pts)
        if spare != self._is_sparing:
            self._is_sparing = spare
            opened.stream.codec_context.skip_frame = "NONREF" if spare else "DEFAULT"
        return True

    def _configure(self, opened: Opened) -> None:
        context = opened.stream.codec_context
        context.skip_frame = "DEFAULT"
        self._is_sparing = False
        self._sar = opened.stream.sample_aspect_ratio or Fraction(1)
        if not context.is_open:
            # Processes scale, threads do not: a second thread buys 0-20 %.
            context.thread_count = 1
            context.options = {"max_pixels": str(self._max_pixels)}

    def _decoded(self, timed: Timed[Read], opened: Opened) -> list[VideoFrame]:
        packet = timed.packet.packet
        if timed.wild:
            packet.pts = _WILD
        elif timed.pts is not None and timed.pts != packet.pts:
            packet.pts, packet.dts = timed.pts, timed.dts
        try:
            return list(opened.stream.codec_context.decode(packet))
        except MemoryError as error:
            raise out_of_memory(self._request.source.uri) from error
        except av.error.FFmpegError as error:
            self._refused(error)
            return []

    def _drained(self, opened: Opened) -> Iterator[VideoFrame]:
        """Yield the frames that a decoder still holds when its packets have ended."""
        try:
            yield from opened.stream.codec_context.decode(None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            self._refused(error)

    def _refused(self, error: av.error.FFmpegError) -> None:
        if self._sparing is not None:
            raise Doubt  # it will be refused again, with all pictures before it
        self.stats.bad_packets += 1
        if error.log:
            self.stats.complaint = str(error.log[-1]).strip()

    def _note(self, timed: Timed[Read]) -> None:
        """Record the display time that a packet promises."""
        packet = timed.packet.packet
        if packet.is_discard or packet.is_corrupt or timed.wild:
            return
        pts, duration = timed.pts, packet.duration or 1
        if pts is None:
            pts, duration = self._untimed_tick, packet.duration or self._interval
            self._untimed_tick += duration
        self._last_end = max(self._last_end, pts + duration)
        if not self._promised or pts > self._promised[-1]:
            self._promised.append(pts)
        elif self._promised[bisect_right(self._promised, pts) - 1] != pts:
            insort(self._promised, pts)

    def _timed(self, frames: Iterator[VideoFrame]) -> Iterator[Frame]:
        """Yield frames with their ticks; a picture without a time follows the one before it."""
        counted = 0
        for frame in self._checked(frames):
            self.stats.frames_decoded += 1
            length = frame.duration or self._interval
            tick = counted if frame.pts is None else frame.pts
            counted = tick + length
            self._last_end = max(self._last_end, tick + length)
            yield self._frame(frame, tick)

    def _checked(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield frames; while some are spared, each once the one behind it proves its place."""
        if self._sparing is None:
            yield from frames
            return
        held: VideoFrame | None = None
        for frame in frames:
            follows = self._sparing.came(frame.pts)
            if held is not None and follows:
                yield held
            held = frame
        if held is not None and not self._gave_up and self._sparing.ended():
            yield held

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
