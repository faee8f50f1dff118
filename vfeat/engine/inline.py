"""The same stages in this process: for debugging and for tests."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from vfeat.corpus import Video
from vfeat.engine.executor import Beat, Event, Finished
from vfeat.engine.ledger import Ledger
from vfeat.job.fingerprint import Recipe
from vfeat.media.pool import DecodePool
from vfeat.plan.unit import Planned
from vfeat.stages.probing import probe_videos
from vfeat.stages.report import WorkerSettings


def probe_here(
    recipe: Recipe, settings: WorkerSettings, videos: Iterable[Video], children: int | None = None
) -> Iterator[Planned]:
    """Probe in this machine's own decoder children, one for each core unless told."""
    children = children or max(1, min(8, os.cpu_count() or 1))
    with DecodePool(recipe.clip, recipe.frame, settings.limits, children) as pool:
        yield from probe_videos(pool, videos, children)


class InlineExecutor:
    """One worker, one lease at a time, no Ray."""

    name = "inline"

    def __init__(self, recipe: Recipe, settings: WorkerSettings) -> None:
        self.recipe = recipe
        self.settings = settings

    def workers(self) -> int:
        return 1

    def probe(self, videos: Iterable[Video]) -> Iterator[Planned]:
        yield from probe_here(self.recipe, self.settings, videos)

    def run(self, ledger: Ledger) -> Iterator[Event]:
        from vfeat.stages.worker import ExtractWorker  # torch

        with ExtractWorker(self.recipe, self.settings) as worker:
            while (lease := ledger.take("inline", time.monotonic())) is not None:
                report = worker.run(lease)
                ledger.done(lease, "inline", time.monotonic())
                yield Finished(lease, report)
                yield Beat((worker.progress(),))

    def close(self) -> None:
        """Nothing outlives a run."""
