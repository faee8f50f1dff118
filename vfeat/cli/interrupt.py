"""Ctrl-C: once to finish the running shards, twice to leave now; both say how to go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfeat.engine.flow import Flow
    from vfeat.engine.watch import Watch

INTERRUPTED = 130


@contextmanager
def interruptible(run: Flow, watch: Watch, again: str) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into an orderly stop while the block runs.

    Args:
        again: the command that resumes.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        if run.interrupted:
            watch.note(f"Stopped. What is committed stays; go on with:\n  {again}")
            os._exit(INTERRUPTED)  # children and actors die with this process
        watch.note(
            "Stopping: running shards are finished, no new ones begin. Again to leave now. "
            f"Go on later with:\n  {again}"
        )
        run.interrupt()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
