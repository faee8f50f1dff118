"""Display times of a video's frames, and the frames that the clip grid asks for.

All arithmetic is exact: seconds are `Fraction`s, times in the video are whole ticks of its time
base. A frame is on display from its tick until the next frame's tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np
import numpy.typing as npt

from vfeat.job.recipe import ClipSpec
from vfeat.media.shots.grid import shot_grid
from vfeat.video_facts import Timeline

Ticks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """Position of one clip: times for its row, ticks for choosing frames.

    Attributes:
        clip_index: k, from 0.
        start_s, end_s: seconds from the first presented frame.
        start_tick, end_tick: the frames that begin in the window have start_tick <= tick <
            end_tick.
        sample_ticks: for each of the clip's frames, choose the last frame with tick <= sample tick;
            never decreasing.
    """

    clip_index: int
    start_s: float
    end_s: float
    start_tick: int
    end_tick: int
    sample_ticks: tuple[int, ...]


class Grid:
    """The clips of one video under one recipe."""

    def __init__(
        self, spec: ClipSpec, timeline: Timeline, frame_ticks: Ticks | None = None
    ) -> None:
        """Lay the grid.

        Args:
            spec: clip settings of the recipe.
            timeline: times of the video.
            frame_ticks: all presentation ticks in order, if known; the sparse protocol counts
                frames, and without them assumes a constant frame rate.
        """
        self.spec = spec
        self.timeline = timeline
        self.n_clips = clips_of(spec, timeline)
        self.shots = shot_grid(spec, timeline) if spec.sampling == "shots" else None
        self._frame_ticks = frame_ticks
        self._tick_s = timeline.tick_s

    def window(self, clip_index: int) -> Window:
        """Return position and sample ticks of one clip."""
        if self.spec.sampling == "sparse":
            return self._sparse_window(clip_index)
        if self.shots is not None:
            start, end = self.shots.span(clip_index)
        else:
            start, end = span_of(self.spec, self.timeline, clip_index)
        step = (end - start) / (2 * self.spec.num_frames)
        samples = (start + step * (2 * i + 1) for i in range(self.spec.num_frames))
        origin, tick_s = self.timeline.origin_tick, self._tick_s
        return Window(
            clip_index,
            float(start),
            float(end),
            origin + ceil(start / tick_s),
            origin + ceil(end / tick_s),
            tuple(origin + floor(sample / tick_s) for sample in samples),
        )

    def _sparse_window(self, clip_index: int) -> Window:
        line = self.timeline
        numbers = sparse_indices(
            line.n_frames, self.spec.num_frames, self.spec.sparse_clips, clip_index
        )
        if self._frame_ticks is not None and len(self._frame_ticks):
            last = len(self._frame_ticks) - 1
            ticks = tuple(int(self._frame_ticks[min(n, last)]) for n in numbers)
        else:
            # The middle of each frame's display if all frames are equally long.
            share = Fraction(line.duration_ticks, 2 * max(line.n_frames, 1))
            ticks = tuple(line.origin_tick + floor(share * (2 * n + 1)) for n in numbers)
        return Window(
            clip_index, 0.0, float(line.duration_s), line.origin_tick, line.end_tick, ticks
        )

    def last_window_before(self, tick: int) -> int:
        """Return the largest index (may be < 0) of a window that ends by `tick`; not sparse."""
        seconds = (tick - self.timeline.origin_tick) * self._tick_s
        if self.shots is not None:
            return self.shots.last_ending_by(seconds)
        return floor((seconds - self.spec.clip) / self.spec.stride)


def clips_of(spec: ClipSpec, timeline: Timeline) -> int:
    """Return the number of clips of a video."""
    if spec.sampling == "shots":
        return shot_grid(spec, timeline).n_clips
    return count_clips(spec, timeline.duration_s)


def span_of(spec: ClipSpec, timeline: Timeline, clip_index: int) -> tuple[Fraction, Fraction]:
    """Return start and end of a clip's window, exact seconds; of a sparse clip the whole video."""
    if spec.sampling == "sparse":
        return Fraction(0), timeline.duration_s
    if spec.sampling == "shots":
        return shot_grid(spec, timeline).span(clip_index)
    start = clip_index * spec.stride
    return start, start + spec.clip


def count_clips(spec: ClipSpec, duration_s: Fraction) -> int:
    """Count the clips of a video: the first always, others when half their window is inside.

    Of a video that is laid on shots, it is what a dense grid would have.

    Args:
        spec: clip settings of the recipe.
        duration_s: seconds from the first frame to the end of the last one.
    """
    if spec.sampling == "sparse":
        return spec.sparse_clips
    return 1 + max(0, floor((duration_s - spec.clip / 2) / spec.stride))


def sparse_indices(frames: int, num_frames: int, segments: int, clip_index: int) -> list[int]:
    """Compute the frame numbers of one clip under the sparse protocol, as the official code does.

    Args:
        frames: number of frames of the video.
        num_frames: frames of a clip.
        segments: number of clips of the video.
        clip_index: number of the clip, from 0.
    """
    segment = max(0.0, float(frames - 1) / num_frames)
    duration = segment / (segments + 1)
    return [
        min(int(np.round(segment * i)) + int(duration * (clip_index + 1)), frames - 1)
        for i in range(num_frames)
    ]


def find_gaps(grid: Grid, frame_ticks: Ticks) -> list[tuple[int, int]]:
    """Find ranges of clips of a dense grid, or one on shots, in whose window no frame begins.

    Args:
        grid: clip grid of the video.
        frame_ticks: the ticks of all frames, in order.

    Returns:
        Inclusive ranges (first, last), in order.
    """
    if grid.spec.sampling == "sparse" or len(frame_ticks) == 0:
        return []
    narrowest = floor(grid.spec.clip / grid.timeline.tick_s)
    gaps = []
    for before in np.flatnonzero(np.diff(frame_ticks) >= narrowest):
        last = min(grid.last_window_before(int(frame_ticks[before + 1])), grid.n_clips - 1)
        first = _first_window_after(grid, int(frame_ticks[before]))
        if first <= last:
            gaps.append((first, last))
    return gaps


def _first_window_after(grid: Grid, tick: int) -> int:
    """Return the smallest clip index > 0 whose window starts after `tick`."""
    seconds = (tick - grid.timeline.origin_tick) * grid.timeline.tick_s
    if grid.shots is not None:
        return max(1, grid.shots.first_starting_after(seconds))
    return max(1, floor(seconds / grid.spec.stride) + 1)
