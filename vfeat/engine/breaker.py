"""Stop a job that fails everywhere, before it writes ten million error rows.

What a video is made of fails alone: a folder of ten thousand damaged files costs its error rows
and blocks no file behind it. Only a dataset that has nothing yet is stopped by its first files.
What may be a set-up (decoders that crash, a store, a bug) is judged over the last units, at any
time of the night.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from vfeat.errors import CircuitOpen, ErrorClass

WINDOW = 200  # units that a share is taken of
SETUP: frozenset[ErrorClass] = frozenset({"storage", "internal", "crashed", "timeout"})
EXIT_CODES: dict[ErrorClass, int] = {"storage": 5, "internal": 1}

Failure = tuple[ErrorClass, str]


class Breaker:
    """Counter of unit failures that stops a job when they share one cause.

    Args:
        first_units: opens when this many first units of a new dataset all fail.
        error_share: opens when more than this share of the last units fails with one class that
            may be the set-up's, or of the first ones of a new dataset with any class.
        is_new: nothing is in the dataset yet.
    """

    def __init__(self, first_units: int, error_share: float, *, is_new: bool) -> None:
        self.first_units = first_units
        self.error_share = error_share
        self.is_new = is_new
        self.seen = 0
        self._window: deque[Failure | None] = deque(maxlen=WINDOW)

    def record(self, failures: Iterable[Failure | None]) -> None:
        """Count unit results: None for a success, else error class and message.

        Raises:
            CircuitOpen: with the commonest class, an example, and what to do.
        """
        for failure in failures:
            self.seen += 1
            self._window.append(failure)
            if failure is not None:
                self._check()

    def _check(self) -> None:
        failed = Counter(failure[0] for failure in self._window if failure is not None)
        worst, count = failed.most_common(1)[0]
        if self.is_new and self.seen == self.first_units == failed.total():
            self._open(worst, f"the first {self.seen} units all failed")
        if len(self._window) < WINDOW:
            return
        limit = self.error_share * WINDOW
        if self.is_new and self.seen == WINDOW and count > limit:
            self._open(worst, f"{count} of the first {WINDOW} units failed with {worst}")
        for kind in SETUP & failed.keys():
            if failed[kind] > limit:
                self._open(kind, f"{failed[kind]} of the last {WINDOW} units failed with {kind}")

    def _open(self, worst: ErrorClass, what: str) -> None:
        example = next(f[1] for f in self._window if f is not None and f[0] == worst)
        raise CircuitOpen(
            f"{what}; most often {worst}, for example: {example}. The job stopped "
            "instead of writing more error rows. If the corpus really is like this, raise "
            "--breaker-first-units or --breaker-error-share and run the same command again.",
            EXIT_CODES.get(worst, 3),
        )
