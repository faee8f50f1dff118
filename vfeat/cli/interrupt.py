"""Ctrl-C: once to end in order, twice to leave now; both print the command that resumes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfeat.engine.stage_run import StageRun
    from vfeat.engine.watch import Watch

INTERRUPTED = 130
GRACE_S = 15.0  # how long running shards may stand still after the first Ctrl-C


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
def interruptible(run: StageRun, watch: Watch, again: str) -> Iterator[None]:
    """Finish the running shards at the first signal, then stop.

    Args:
        again: the command that resumes.
    """

    def leave_now() -> None:
        watch.note("Stopped. What is committed stays; go on with:")
        watch.note(f"  {again}")
        os._exit(INTERRUPTED)  # children and actors die with this process

    def stop() -> None:
        if run.interrupted:
            leave_now()
        watch.note(
            "Stopping: running shards are finished, no new ones begin; after "
            f"{GRACE_S:.0f} s without progress they are left. Again to leave now. Go on later with:"
        )
        watch.note(f"  {again}")
        threading.Thread(target=_leave_when_still, args=(run, leave_now), daemon=True).start()
        run.interrupt()

    with signals_to(stop):
        yield


def _leave_when_still(run: StageRun, leave_now: Callable[[], None]) -> None:
    """Call `leave_now` when running shards have got no further for GRACE_S."""
    last, since_s = run.moved(), time.monotonic()
    while run.working:
        time.sleep(0.5)
        if (now := run.moved()) != last:
            last, since_s = now, time.monotonic()
        elif time.monotonic() - since_s > GRACE_S:
            leave_now()


def leave() -> None:
    """End the command from within a signal's handler, as Ctrl-C does by itself."""
    raise KeyboardInterrupt
