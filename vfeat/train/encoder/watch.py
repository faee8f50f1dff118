"""What a training of an encoder tells while it runs; the command line shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vfeat.train.encoder.history import EpochLine

Phase = Literal["probe", "train", "val", "test"]


class EncoderWatch:
    """Says nothing and never stops; subclasses do."""

    def advanced(self, phase: Phase, epoch: int, done: int, total: int, loss: float) -> None:
        """Videos, or clips in the phases that run the network; `loss` is 0 elsewhere."""

    def epoch_ended(self, line: EpochLine) -> None:
        """An epoch is written down."""

    def note(self, text: str) -> None:
        """Something a person should know."""

    def stopping(self) -> bool:
        """Whether somebody asked to stop: the training then keeps a checkpoint and ends."""
        return False
