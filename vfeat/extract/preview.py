"""What a run would do, from a look into a sample of the new videos: nothing is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import pyarrow as pa

from vfeat.corpus import Video
from vfeat.engine.cores import usable_cores
from vfeat.job.fingerprint import Recipe
from vfeat.job.recipe import DecodeLimits
from vfeat.media.children.pool import DecodePool
from vfeat.plan.estimate import Estimate
from vfeat.plan.probing import probe_videos
from vfeat.video_facts import Probe

SAMPLE = 300  # videos: a few minutes of opening, and a spread of some per cent
_MOST_CHILDREN = 8
_COLUMNS = ("video_id", "uri", "size_bytes", "etag", "address")


class Sample:
    """A random choice among videos that are listed one batch at a time.

    Ids are hashes: the videos with the smallest ones are a random choice, and the same one
    whenever the corpus is the same.
    """

    def __init__(self, size: int) -> None:
        self.videos = 0
        self.size_bytes = 0
        self.unreadable = 0
        self._size = size
        self._chosen: pa.Table | None = None

    def add(self, videos: pa.Table) -> None:
        """Add a batch of new videos."""
        self.videos += len(videos)
        problems = videos.column("problem")
        self.unreadable += len(videos) - problems.null_count
        readable = videos.filter(problems.is_null())
        self.size_bytes += int(readable.column("size_bytes").to_numpy().sum())
        some = readable.select(_COLUMNS)
        held = some if self._chosen is None else pa.concat_tables([self._chosen, some])
        self._chosen = held.sort_by("video_id").slice(0, self._size)

    @property
    def chosen(self) -> list[Video]:
        """The chosen videos."""
        rows = self._chosen.to_pylist() if self._chosen is not None else []
        return [
            Video(row["uri"], row["size_bytes"], row["etag"], address=row["address"])
            for row in rows
        ]


@dataclass(frozen=True)
class Outlook:
    """What a sample shows of all new videos.

    Attributes:
        opened: videos of the sample.
        clips: of all new videos.
        spread: two standard errors of `clips`, as a share of it; 0 when every video was opened.
        unreadable: videos that would be error rows.
        cost_s: work of one worker, seconds.
    """

    opened: int
    clips: int
    spread: float
    unreadable: int
    cost_s: float


def look(sample: Sample, recipe: Recipe, limits: DecodeLimits, estimate: Estimate) -> Outlook:
    """Open the videos of a sample, in decoder children of this machine.

    Where clips are laid on shots, they are counted as on a dense grid: finding shots would decode
    the sample.
    """
    videos = sample.chosen
    children = max(1, min(_MOST_CHILDREN, usable_cores(), len(videos)))
    found: list[tuple[int, Probe | None]] = []
    grid = replace(recipe.clip, sampling="dense", shots=None) if recipe.clip.shots else recipe.clip
    with DecodePool(grid, recipe.frame, limits, children) as pool:
        for video, probe in probe_videos(pool, videos, children):
            found.append((video.size_bytes, probe if isinstance(probe, Probe) else None))
    return extrapolate(sample, found, estimate)


def extrapolate(
    sample: Sample, found: Iterable[tuple[int, Probe | None]], estimate: Estimate
) -> Outlook:
    """Estimate all new videos from a sample, by its clips a byte (a ratio estimate).

    Args:
        sample: what was listed.
        found: size in bytes and probe of each video of the sample; None where it has none.
        estimate: seconds of the model for a clip.
    """
    pairs = list(found)
    sizes = np.array([size for size, _ in pairs], np.float64)
    # An unreadable video is planned as its first clip.
    clips = np.array([probe.n_clips if probe else 1 for _, probe in pairs], np.float64)
    decode_s = sum(probe.decode_s for _, probe in pairs if probe)
    readable = sample.videos - sample.unreadable
    failed = sum(probe is None for _, probe in pairs)
    if len(pairs) == readable or not sizes.sum():
        total, spread = clips.sum(), 0.0
    else:
        share = clips.sum() / sizes.sum()
        total = share * sample.size_bytes
        left = 1 - len(pairs) / readable
        errors = clips - share * sizes
        deviation = sqrt(left * float((errors**2).sum()) / max(len(pairs) - 1, 1))
        spread = 2 * deviation / sqrt(len(pairs)) * readable / max(total, 1.0)
    clip_s = max(estimate.clip_s, decode_s / max(clips.sum(), 1.0) / estimate.decoders)
    unreadable = sample.unreadable + round(failed * readable / max(len(pairs), 1))
    clips_of_all = round(total) + sample.unreadable
    return Outlook(len(pairs), clips_of_all, spread, unreadable, float(total) * clip_s)
