"""What a parent believes of its child: nothing that contradicts the recipe or itself."""

from __future__ import annotations

from itertools import pairwise

from vfeat.job.recipe import ClipSpec, DecodeLimits
from vfeat.media.children.messages import BrokenProtocol, ClipMade
from vfeat.media.timeline import clips_of, span_of
from vfeat.video_facts import Probe, Timeline


def check_probe(probe: Probe, clip: ClipSpec, limits: DecodeLimits) -> None:
    """Compare a probe with the recipe, the limits and itself.

    Raises:
        BrokenProtocol: it cannot be the probe of a video under this recipe.
    """
    line = probe.timeline
    duration_s = line.duration_s
    if not 0 <= duration_s <= limits.max_video_s:
        raise BrokenProtocol("a probe is longer than the longest video, or shorter than nothing")
    _check_cuts(line, clip)
    planned = clips_of(clip, line)
    if probe.n_clips != planned:
        raise BrokenProtocol(f"a probe of {planned} clips counts {probe.n_clips}")
    if not probe.n_empty < probe.n_clips:
        raise BrokenProtocol(f"a probe of {planned} clips has {probe.n_empty} empty ones")
    if probe.n_clips - probe.n_empty > limits.max_video_clips:
        raise BrokenProtocol("a probe has more clips than the limit")
    before = 0  # the first clip is never empty
    for gap in probe.gaps:
        if len(gap) != 2 or not before < gap[0] <= gap[1] < planned:
            raise BrokenProtocol("a probe's gaps are not ranges of its clips in order")
        before = gap[1]


def _check_cuts(line: Timeline, clip: ClipSpec) -> None:
    if not line.cuts:
        return
    if clip.sampling != "shots":
        raise BrokenProtocol("a probe has cuts, and the recipe has no shots")
    if any(after <= before for before, after in pairwise((0, *line.cuts, line.duration_ticks))):
        raise BrokenProtocol("a probe's cuts are not times of its video in order")


def check_window(made: ClipMade, clip: ClipSpec, line: Timeline) -> None:
    """Compare a clip's times with those that the recipe gives it.

    Raises:
        BrokenProtocol: they are others.
    """
    start, end = span_of(clip, line, made.clip_index)
    if (made.start_s, made.end_s) != (float(start), float(end)):
        raise BrokenProtocol(f"clip {made.clip_index} has not the times of the grid")
