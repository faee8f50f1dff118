"""Stop a job that fails everywhere, before it writes ten million error rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from vfeat.errors import CircuitOpen, ErrorClass

ENOUGH = 200  # units before a share means anything
EXIT_CODES: dict[ErrorClass, int] = {"storage": 5, "internal": 1}


class Breaker:
    """Counter of unit failures that stops a job when they share one cause.

    Args:
        first_units: opens when this many first units all fail.
        error_share: opens when more than this share of all units fails with one class.
        stage: what is being done, for the message.
    """

    def __init__(self, first_units: int, error_share: float, stage: str) -> None:
        self.first_units = first_units
        self.error_share = error_share
        self.stage = stage
        self.seen = 0
        self.failed: Counter[ErrorClass] = Counter()
        self.example: dict[ErrorClass, str] = {}

    def record(self, failures: Iterable[tuple[ErrorClass, str] | None]) -> None:
        """Count unit results: None for a success, else error class and message.

        Raises:
            CircuitOpen: with the commonest class, an example, and what to do.
        """
        for failure in failures:
            self.seen += 1
            if failure is not None:
                self.failed[failure[0]] += 1
                self.example.setdefault(*failure)
            self._check()

    def _check(self) -> None:
        if not self.failed:
            return
        worst, count = self.failed.most_common(1)[0]
        if self.seen == self.first_units == sum(self.failed.values()):
            self._open(worst, f"the first {self.seen} units all failed while {self.stage}")
        if self.seen >= ENOUGH and count > self.error_share * self.seen:
            share = f"{count} of {self.seen} units failed with {worst} while {self.stage}"
            self._open(worst, share)

    def _open(self, worst: ErrorClass, what: str) -> None:
        raise CircuitOpen(
            f"{what}; most often {worst}, for example: {self.example[worst]}. The job stopped "
            "instead of writing more error rows. If the corpus really is like this, raise "
            "--breaker-first-units or --breaker-error-share and run the same command again.",
            EXIT_CODES.get(worst, 3),
        )
