"""The same stages in this process: for debugging and for tests."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from vfeat.corpus import Video
from vfeat.engine.executor import Beat, Event, Finished, ProbeSpec, Worker, WorkerSpec
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.worker_protocol import Progress
from vfeat.media.children.pool import DecodePool
from vfeat.plan.probing import planned, probe_videos
from vfeat.plan.unit import Planned


def probe_here(
    spec: ProbeSpec, videos: Iterable[Video], children: int | None = None
) -> Iterator[Planned]:
    """Probe in this machine's own decoder children, one for each core unless told."""
    children = children or max(1, min(8, os.cpu_count() or 1))
    with DecodePool(spec.recipe.clip, spec.recipe.frame, spec.limits, children) as pool:
        for video, found in probe_videos(pool, videos, children):
            yield planned(video, found)


class InlineExecutor:
    """One worker, one lease at a time, no Ray."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def workers(self) -> int:
        return 1

    def probe(self, spec: ProbeSpec, videos: Iterable[Video]) -> Iterator[Planned]:
        yield from probe_here(spec, videos)

    def run(self, spec: WorkerSpec, ledger: Ledger) -> Iterator[Event]:
        worker = self._worker = spec.build()
        try:
            while (lease := ledger.take("inline", time.monotonic())) is not None:
                report = worker.run(lease)
                ledger.done(lease, "inline", time.monotonic())
                yield Finished(lease, report)
                yield Beat((worker.progress(),))
        finally:
            self._worker = None
            worker.close()

    def progress(self) -> tuple[Progress, ...]:
        worker = self._worker
        return (worker.progress(),) if worker is not None else ()

    def close(self) -> None:
        """Nothing outlives a run."""
