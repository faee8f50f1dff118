"""A clock that runs while there is work."""

from __future__ import annotations

import threading
from types import TracebackType

from vfeat.surroundings import here


class WorkClock:
    """Seconds in which at least one piece of work was in hand; safe to use from threads.

    As a context manager, it counts its body as a piece.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_hand = 0
        self._since_s = self._before_s = 0.0

    def begin(self) -> None:
        """Take a piece of work in hand."""
        with self._lock:
            if not self._in_hand:
                self._since_s = here().now_s()
            self._in_hand += 1

    def end(self) -> None:
        """Put a piece of work down."""
        with self._lock:
            self._in_hand -= 1
            if not self._in_hand:
                self._before_s += here().now_s() - self._since_s

    @property
    def seconds(self) -> float:
        """Seconds so far, those of the work in hand included."""
        with self._lock:
            running_s = here().now_s() - self._since_s if self._in_hand else 0.0
            return self._before_s + running_s

    def __enter__(self) -> None:
        self.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
