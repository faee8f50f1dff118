"""Assembly of a decoder's frames into clips: rows, empty windows and losses, in clip order.

A sample takes the last frame at or before its time. It is *lost* when the stream promised newer
frames that the decoder did not deliver: at least two packets begin between the chosen frame and the
sample, or the sample lies past the end of the data while the header promises more. One packet of
slack, because some packets hold no picture.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vfeat.job.recipe import DecodeLimits, FrameSpec
from vfeat.media.decoders.base import Decoder, Frame, Pixels, SparingDecoder, complaint_of
from vfeat.media.decoders.display_order import StalledDecoder, in_display_order
from vfeat.media.frames import prepare
from vfeat.media.samples import Samples
from vfeat.media.source import Progress, no_progress
from vfeat.media.timeline import Grid, Window

_NEVER = 1 << 62


@dataclass(frozen=True)
class Clip:
    """A decoded clip.

    Attributes:
        window: its place in the video.
        frames: num_frames pictures, each uint8 VHWC, in main memory or in that of the device that
            decodes; repeats are the same object.
        lost: number of samples that took an older picture than the video promises.
    """

    window: Window
    frames: list[Pixels]
    lost: int


@dataclass(frozen=True)
class Empty:
    """Clips in whose window no frame begins."""

    first_clip: int
    last_clip: int


@dataclass(frozen=True)
class Lost:
    """Clips of which more than half is lost."""

    first_clip: int
    last_clip: int
    message: str


Settled = Clip | Empty | Lost


class _Picture:
    """A decoded frame, prepared for the model at most once."""

    def __init__(self, frame: Frame, prepare_frame: Callable[[Frame], Pixels]) -> None:
        self.tick = frame.tick
        self._frame: Frame | None = frame
        self._prepare = prepare_frame
        self._pixels: Pixels | None = None
        self._is_on_device = frame.prepared is not None

    def choose(self) -> _Picture:
        """Return the picture, for a clip; a frame in a device's memory leaves it at once."""
        if self._is_on_device:
            _ = self.pixels
        return self

    @property
    def pixels(self) -> Pixels:
        if self._pixels is None:
            assert self._frame is not None
            self._pixels = self._prepare(self._frame)
            self._frame = None  # returns the decoder's buffer
        return self._pixels


@dataclass
class _Open:
    """A clip in the making."""

    window: Window
    chosen: list[_Picture | None] = field(default_factory=list)
    lost: int = 0

    def has_own_frame(self, next_tick: int) -> bool:
        """Return whether a frame begins in the window; `next_tick` follows the last chosen."""
        start, end = self.window.start_tick, self.window.end_tick
        newest = max((p.tick for p in self.chosen if p is not None), default=start - 1)
        return newest >= start or start <= next_tick < end


class ClipAssembler:
    """Assembler of the clips of one range of one video, in order."""

    def __init__(
        self,
        decoder: Decoder,
        grid: Grid,
        frame_spec: FrameSpec,
        limits: DecodeLimits,
        name: str,
        progress: Progress = no_progress,
    ) -> None:
        """Set up; nothing is decoded yet.

        Args:
            decoder: source of the frames.
            grid: clip grid of the video.
            frame_spec: preparation of a frame.
            limits: budgets of decoding.
            name: name of the file, for messages.
            progress: called with the tick of each presented frame, counted from the first.
        """
        self._decoder = decoder
        self._progress = progress
        self._grid = grid
        self._spec = frame_spec
        self._max_pixels = limits.max_frame_pixels
        self._name = name
        self._current: _Picture | None = None
        self._pending: list[tuple[int, int, int]] = []  # (sample tick, clip, position)
        self._open: dict[int, _Open] = {}
        self._waiting: deque[Window] = deque()  # the next window, looked at but not begun
        self._next_clip = 0
        self._last_clip = -1
        self._ended = False
        self._stalled = False

    def settle(self, first_clip: int, last_clip: int) -> Iterator[Settled]:
        """Yield every clip from first_clip to last_clip, both included, exactly once.

        Raises:
            UnitError: the video cannot be read on; its range is that of the clips not yet settled.
        """
        self._next_clip, self._last_clip = first_clip, last_clip
        if isinstance(self._decoder, SparingDecoder):
            self._decoder.spare(Samples(self._grid, first_clip, last_clip))
        origin = self._grid.timeline.origin_tick
        try:
            for frame in in_display_order(self._read):
                self._progress(frame.tick - origin + 1)
                yield from self._resolve(frame.tick)
                self._current = _Picture(frame, self._prepare)
                if not self._pending and self._next_clip > self._last_clip:
                    return
        except StalledDecoder:
            self._stalled = True
        self._ended = True
        yield from self._resolve(_NEVER)

    def _read(self) -> Frame | None:
        self._decoder.skip_to(self._next_sample())
        return self._decoder.read()

    def _prepare(self, frame: Frame) -> Pixels:
        if frame.prepared is not None:
            return frame.prepared(self._spec)
        return prepare(frame.to_rgb(), self._spec, frame.sar, self._max_pixels, self._name)

    def _next_sample(self) -> int:
        begun = self._pending[0][0] if self._pending else _NEVER
        coming = self._peek()
        return min(begun, coming.sample_ticks[0] if coming else _NEVER)

    def _peek(self) -> Window | None:
        if not self._waiting and self._next_clip <= self._last_clip:
            self._waiting.append(self._grid.window(self._next_clip))
        return self._waiting[0] if self._waiting else None

    def _resolve(self, next_tick: int) -> Iterator[Settled]:
        """Give the current frame to all samples before `next_tick`."""
        while True:
            gap = self._begin(next_tick)
            if gap is not None and not self._open:
                yield gap
                self._waiting.clear()
                self._next_clip = gap.last_clip + 1
                continue
            if not self._pending or self._pending[0][0] >= next_tick:
                return
            sample, clip_index, _ = heapq.heappop(self._pending)
            clip = self._open[clip_index]
            clip.chosen.append(self._current and self._current.choose())
            clip.lost += self._is_lost(sample)
            if len(clip.chosen) == len(clip.window.sample_ticks):
                del self._open[clip_index]
                yield self._finish(clip, next_tick)

    def _begin(self, next_tick: int) -> Empty | Lost | None:
        """Open the clips that have the next sample; stop at a gap and return it."""
        while (window := self._peek()) is not None:
            first_sample = window.sample_ticks[0]
            if first_sample >= next_tick:
                return None
            if self._pending and self._pending[0][0] < first_sample:
                return None
            if (gap := self._gap(window, next_tick)) is not None:
                return gap
            self._waiting.popleft()
            self._next_clip += 1
            self._open[window.clip_index] = _Open(window)
            for position, sample in enumerate(window.sample_ticks):
                heapq.heappush(self._pending, (sample, window.clip_index, position))
        return None

    def _gap(self, window: Window, next_tick: int) -> Empty | Lost | None:
        """Return all coming windows between the current frame and the next one, if any.

        They are settled at once: a gap may last years and hold a billion windows. Clips begun
        before it end before it ends, since all windows are equally long.
        """
        first, last = window.clip_index, self._last_clip
        if self._current is None and self._ended:
            return Lost(first, last, self._why(window))
        if self._current is None or self._grid.spec.sampling == "sparse":
            return None
        if first == 0 or window.start_tick <= self._current.tick:
            return None
        if next_tick < _NEVER:
            last = min(last, self._grid.last_window_before(next_tick))
        if last < first:
            return None
        if self._is_lost(window.sample_ticks[0]):
            return Lost(first, last, self._why(window))
        kept = self._count_kept(first, last)
        return Empty(first, first + kept - 1) if kept else None

    def _count_kept(self, first: int, last: int) -> int:
        """Count the windows in which no frame is missing.

        Once frames are missing before a moment of a gap, they are missing before all later ones.
        """
        kept, unknown = 0, last - first + 1
        while kept < unknown:
            middle = (kept + unknown) // 2
            if self._is_lost(self._grid.window(first + middle).sample_ticks[-1]):
                unknown = middle
            else:
                kept = middle + 1
        return kept

    def _is_lost(self, sample: int) -> bool:
        line = self._grid.timeline
        # Samples past the end repeat the last frame: ask for the last moment instead.
        moment = min(sample, line.end_tick - 1)
        shown = self._current.tick if self._current is not None else None
        if shown is None:
            return True
        if self._decoder.promised(shown, moment) >= 2:
            return True
        if not self._ended:
            return False
        end = shown if self._stalled else self._decoder.end_tick()
        return moment >= end + self._decoder.interval()

    def _finish(self, clip: _Open, next_tick: int) -> Settled:
        window = clip.window
        index, samples = window.clip_index, len(window.sample_ticks)
        chosen = [picture for picture in clip.chosen if picture is not None]
        if 2 * clip.lost > samples or not chosen:
            return Lost(index, index, self._why(window))
        if index > 0 and clip.lost == 0 and not clip.has_own_frame(next_tick):
            return Empty(index, index)
        # Samples before the first frame of a damaged start take the first that came.
        pictures = [picture or chosen[0] for picture in clip.chosen]
        return Clip(window, [picture.pixels for picture in pictures], clip.lost)

    def _why(self, window: Window) -> str:
        line = self._grid.timeline
        tick_s = float(line.tick_s)
        end_s = (self._decoder.end_tick() - line.origin_tick) * tick_s
        if self._current is None:
            return f"{self._name}: no frame decodes from {window.start_s:.2f} s on" + (
                complaint_of(self._decoder.stats)
            )
        if self._stalled:
            return (
                f"{self._name}: the decoder repeats itself at "
                f"{(self._current.tick - line.origin_tick) * tick_s:.2f} s and gives no later frame"
            )
        shown_s = (self._current.tick - line.origin_tick) * tick_s
        if self._ended and window.end_s > end_s + 1e-9 and end_s < float(line.duration_s):
            return (
                f"{self._name}: the file ends at {end_s:.2f} s of "
                f"{float(line.duration_s):.2f} s that its header or its size promises"
            )
        return (
            f"{self._name}: no frame decodes between {shown_s:.2f} s and "
            f"{min(window.end_s, float(line.duration_s)):.2f} s, though the file promises some"
            + complaint_of(self._decoder.stats)
        )
