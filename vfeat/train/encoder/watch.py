"""Reports of a running training of an encoder; the command line shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vfeat.train.encoder.history import EpochLine

Phase = Literal["probe", "embed", "train", "val", "test"]


class EncoderWatch:
    """Watch that reports nothing and never stops; subclasses override it."""

    def advanced(self, phase: Phase, epoch: int, done: int, total: int, loss: float) -> None:
        """Report progress in videos, or in clips if the phase runs the network.

        Args:
            phase, epoch: position of the training.
            done, total: counts of videos or clips.
            loss: mean loss so far; 0 in phases without one.
        """

    def epoch_ended(self, line: EpochLine) -> None:
        """Report an epoch that has been recorded."""

    def note(self, text: str) -> None:
        """Report something that a person should read."""

    def stopping(self) -> bool:
        """Return whether to stop: the training then keeps a checkpoint and ends."""
        return False
