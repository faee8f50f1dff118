"""Ctrl-C: once to end in order, twice to leave now; both print the command that resumes.

SIGTERM, the notice of a machine that is taken back, ends a command in the same way.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vfeat.errors import Interrupted

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


class Interruption:
    """What signals do to one stage: before its run is there, while it goes on, and at its end.

    Args:
        again: the command that resumes.

    Attributes:
        run: the run, once it is there.
    """

    def __init__(self, watch: Watch, again: str) -> None:
        self.run: StageRun | None = None
        self._watch = watch
        self._again = again

    def stop(self) -> None:
        """Finish the running shards at the first call, leave at the second.

        Raises:
            Interrupted: nothing runs yet.
        """
        run = self.run
        if run is None:
            raise Interrupted("stopped before any work; go on with:", f"  {self._again}")
        if run.interrupted:
            self._leave_now()
        self._watch.note(
            "Stopping: running shards are finished, no new ones begin; after "
            f"{GRACE_S:.0f} s without progress they are left. Again to leave now. Go on later with:"
        )
        self._watch.note(f"  {self._again}")
        threading.Thread(target=_leave_when_still, args=(run, self._leave_now), daemon=True).start()
        run.interrupt()

    def _leave_now(self) -> None:
        self._watch.note("Stopped. What is committed stays; go on with:")
        self._watch.note(f"  {self._again}")
        os._exit(INTERRUPTED)  # children and actors die with this process


@contextmanager
def interruptible(watch: Watch, again: str) -> Iterator[Interruption]:
    """Stop a stage in order at the first signal; see `Interruption`."""
    interruption = Interruption(watch, again)
    with signals_to(interruption.stop):
        yield interruption


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
