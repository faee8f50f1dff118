"""Ctrl-C: once to end in order, twice to leave now; both say how to go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfeat.engine.flow import Flow
    from vfeat.engine.watch import Watch

INTERRUPTED = 130


@contextmanager
def signals_to(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at every SIGINT and SIGTERM while the block runs, in the main thread.

    Also where a shell started the command in its background, with SIGINT ignored.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible(run: Flow, watch: Watch, again: str) -> Iterator[None]:
    """Let the running shards be finished, then stop.

    Args:
        again: the command that resumes.
    """

    def stop() -> None:
        if run.interrupted:
            watch.note("Stopped. What is committed stays; go on with:")
            watch.note(f"  {again}")
            os._exit(INTERRUPTED)  # children and actors die with this process
        watch.note(
            "Stopping: running shards are finished, no new ones begin. Again to leave now. "
            "Go on later with:"
        )
        watch.note(f"  {again}")
        run.interrupt()

    with signals_to(stop):
        yield


def leave() -> None:
    """End the command from within a signal's handler, as Ctrl-C does by itself."""
    raise KeyboardInterrupt
