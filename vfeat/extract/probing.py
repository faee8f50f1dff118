"""Reading headers of many videos before they are planned."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vfeat.corpus import Video
from vfeat.job.fingerprint import Recipe
from vfeat.job.recipe import DecodeLimits
from vfeat.media.children.pool import DecodePool
from vfeat.plan.probing import planned, probe_videos
from vfeat.plan.unit import Planned

MOST_CHILDREN = 8


@dataclass(frozen=True)
class Probing:
    """Probing as work on batches of videos, in decoder children of whatever machine it is on."""

    recipe: Recipe
    limits: DecodeLimits

    def __call__(self, items: Iterable[Video], cores: int | None = None) -> Iterator[Planned]:
        """Yield each video with its probe or its failure."""
        children = cores or max(1, min(MOST_CHILDREN, os.cpu_count() or 1))
        with DecodePool(self.recipe.clip, self.recipe.frame, self.limits, children) as pool:
            for video, found in probe_videos(pool, items, children):
                yield planned(video, found)
