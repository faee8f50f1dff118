"""Rendering in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Job = TypeVar("Job")


def rendered(render: Callable[[Job], None], jobs: Sequence[Job], workers: int) -> Iterator[None]:
    """Render in spawned processes, because OpenCV's threads do not survive a fork.

    Args:
        render: a function of a module, called with one job.
        jobs: what is rendered; yields once for each, in any order.
        workers: processes; few jobs are rendered in this one.
    """
    if workers <= 1 or len(jobs) < 2 * workers:
        yield from map(render, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _one_thread) as pool:
        yield from pool.imap_unordered(render, jobs, chunksize=8)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
