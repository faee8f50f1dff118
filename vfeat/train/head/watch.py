"""What a training tells while it runs; the command line shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfeat.train.head.trainer import Epoch


class TrainWatch:
    """Says nothing; subclasses do."""

    def advanced(self, phase: str, epoch: int, done: int, total: int) -> None:
        """Videos of a phase: `scan`, `train`, `val` or `test`."""

    def epoch_ended(self, lines: dict[str, Epoch], best: dict[str, int]) -> None:
        """One epoch of each head that is still learning, and its best epoch so far."""

    def note(self, text: str) -> None:
        """Something a person should know."""
