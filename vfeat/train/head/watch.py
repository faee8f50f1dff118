"""Reports of a running training of heads; the command line shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfeat.train.head.trainer import Epoch


class TrainWatch:
    """Watch that reports nothing; subclasses override it."""

    def advanced(self, phase: str, epoch: int, done: int, total: int) -> None:
        """Report videos done in a phase: `scan`, `train`, `val` or `test`."""

    def epoch_ended(self, lines: dict[str, Epoch], best: dict[str, int]) -> None:
        """Report one epoch of each head that is still learning, and its best epoch so far."""

    def note(self, text: str) -> None:
        """Report something that a person should read."""
