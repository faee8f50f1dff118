"""The moments of a video at which some clip takes a picture."""

from __future__ import annotations

from bisect import bisect_left

from vfeat.media.timeline import Grid, Window

# Steps from one window to its neighbour, before the place is computed instead.
_NEARBY = 8


class Samples:
    """Samples of a range of clips, to be asked about spans of time in about rising order.

    A window so narrow that no frame need begin before its last sample counts its own end as a
    sample: whether a frame begins there decides whether the clip is empty.
    """

    def __init__(self, grid: Grid, first_clip: int, last_clip: int) -> None:
        """Take the clips from first_clip to last_clip, both included."""
        self._grid = grid
        self._first, self._last = first_clip, last_clip
        self._windows: dict[int, Window] = {}
        self._place = first_clip  # all samples of the windows before it precede the last question
        self._spread: list[int] | None = None
        if grid.spec.sampling == "sparse":
            clips = range(first_clip, last_clip + 1)
            self._spread = sorted(tick for clip in clips for tick in grid.window(clip).sample_ticks)

    def any_in(self, start: int, end: int) -> bool:
        """Return whether a sample shows a frame that is on display from `start` to before `end`."""
        if self._spread is not None:
            place = bisect_left(self._spread, start)
            return place < len(self._spread) and self._spread[place] < end
        self._move_to(start)
        for clip in range(self._place, self._last + 1):
            window = self._window(clip)
            ticks = window.sample_ticks
            if ticks[0] >= end and window.end_tick > end:
                return False
            place = bisect_left(ticks, start)
            if place < len(ticks) and ticks[place] < end:
                return True
            narrow = ticks[-1] - window.start_tick < 2 * (end - start)
            if narrow and start < window.end_tick <= end:
                return True
        return False

    def next_from(self, tick: int) -> int | None:
        """Return the first moment from `tick` on that matters: a sample, or the end of a window."""
        if self._spread is not None:
            place = bisect_left(self._spread, tick)
            return self._spread[place] if place < len(self._spread) else None
        self._move_to(tick)
        found: int | None = None
        for clip in range(self._place, self._last + 1):
            window = self._window(clip)
            if found is not None and window.sample_ticks[0] >= found:
                break
            place = bisect_left(window.sample_ticks, tick)
            moment = [*window.sample_ticks[place : place + 1], window.end_tick - 1][0]
            if moment >= tick:
                found = moment if found is None else min(found, moment)
        return found

    def _move_to(self, tick: int) -> None:
        """Find the first window that does not end by `tick`."""
        for _ in range(_NEARBY):
            if self._place > self._first and self._window(self._place - 1).end_tick > tick:
                self._place -= 1
            elif self._place <= self._last and self._window(self._place).end_tick <= tick:
                self._place += 1
            else:
                return
        place = self._grid.last_window_before(tick) + 1
        self._place = min(max(place, self._first), self._last + 1)
        self._windows.clear()

    def _window(self, clip: int) -> Window:
        window = self._windows.get(clip)
        if window is None:
            if len(self._windows) > 4 * _NEARBY + self._overlap():
                self._windows.clear()
            window = self._windows[clip] = self._grid.window(clip)
        return window

    def _overlap(self) -> int:
        """Return about how many windows hold one moment."""
        spec = self._grid.spec
        return int(spec.clip / spec.stride) + 1
