"""Clips of the grid that a sample offers, from its video's header and its part of the video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor

from vfeat.job.recipe import ClipSpec
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import TaskFailed
from vfeat.plan.probing import probe_videos
from vfeat.train.encoder.data.broken import Broken
from vfeat.train.encoder.data.clip_list import Sample
from vfeat.video_facts import Probe, Timeline

ROUNDING = 1e-9  # tolerance in clips: 0.3 s are three strides of 0.1 s


@dataclass(frozen=True)
class Footage:
    """A sample whose video opens.

    Attributes:
        sample: line of the list.
        timeline: times of the video.
        first_clip, last_clip: range of the grid, both included.
    """

    sample: Sample
    timeline: Timeline
    first_clip: int
    last_clip: int

    @property
    def clips(self) -> int:
        """Number of clips to choose from."""
        return self.last_clip - self.first_clip + 1


def probe_samples(
    pool: DecodePool,
    samples: Sequence[Sample],
    clip: ClipSpec,
    workers: int,
    advanced: Callable[[int, int], None],
) -> tuple[dict[int, Footage], list[Broken]]:
    """Probe each video once; return footage by row, and the samples that cannot be read.

    Args:
        pool: decoder children.
        samples: lines of the list.
        clip: clip grid.
        workers: number of children.
        advanced: called with (done, total) videos.
    """
    rows: dict[str, list[Sample]] = {}
    for sample in samples:
        rows.setdefault(sample.video.read_from, []).append(sample)
    footage: dict[int, Footage] = {}
    broken: list[Broken] = []
    done = 0
    for video, found in probe_videos(pool, (same[0].video for same in rows.values()), workers):
        for sample in rows[video.read_from]:
            part = _part(sample, found, clip)
            if isinstance(part, Footage):
                footage[sample.row] = part
            else:
                broken.append(part)
        done += len(rows[video.read_from])
        advanced(done, len(samples))
    return footage, broken


def _part(sample: Sample, found: Probe | TaskFailed, clip: ClipSpec) -> Footage | Broken:
    if isinstance(found, TaskFailed):
        return Broken(sample, found.error_class, found.message)
    return _footage(sample, found, clip)


def _footage(sample: Sample, probe: Probe, clip: ClipSpec) -> Footage | Broken:
    """Find the clips that lie in the sample's part; the nearest one if none lies inside."""
    last = probe.n_clips - 1
    if sample.start_s is None and sample.end_s is None:
        return Footage(sample, probe.timeline, 0, last)
    start_s, end_s = sample.start_s or 0.0, sample.end_s or probe.duration_s
    if start_s >= probe.duration_s:
        return Broken(
            sample, "undecodable", f"start_s {start_s:g}: the video ends at {probe.duration_s:g} s"
        )
    first_inside = ceil(start_s / clip.stride_s - ROUNDING)
    last_inside = min(last, floor((end_s - clip.clip_s) / clip.stride_s + ROUNDING))
    if first_inside <= last_inside:
        return Footage(sample, probe.timeline, first_inside, last_inside)
    middle_s = (start_s + min(end_s, probe.duration_s)) / 2
    nearest = min(last, max(0, round((middle_s - clip.clip_s / 2) / clip.stride_s)))
    return Footage(sample, probe.timeline, nearest, nearest)


def check_parts(clip: ClipSpec, samples: Sequence[Sample]) -> str | None:
    """Return why parts of videos cannot be used with this grid; None when they can."""
    parts = any(s.start_s is not None or s.end_s is not None for s in samples)
    if parts and clip.sampling == "sparse":
        return "sampling sparse spreads a clip over the whole video; the list has start_s or end_s"
    return None
