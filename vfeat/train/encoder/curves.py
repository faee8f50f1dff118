"""A picture of a training: its losses, and the share of right answers."""

from __future__ import annotations

from collections.abc import Sequence

from vfeat.train.encoder.history import EpochLine
from vfeat.train.picture import to_png, two_diagrams


def draw_curves(history: Sequence[EpochLine]) -> bytes:
    """A PNG.

    Raises:
        EnvironmentMissing: matplotlib is not installed.
    """
    figure, losses, scores = two_diagrams()
    epochs = [line.epoch for line in history]
    for name in history[-1].losses:
        if name != "gradient_norm":
            losses.plot(epochs, [line.losses[name] for line in history], label=f"training {name}")
    measured = [line for line in history if line.val is not None]
    found = [(line.epoch, line.val) for line in measured if line.val is not None]
    if found:
        losses.plot([e for e, _ in found], [m.loss for _, m in found], label="validation loss")
        scores.plot([e for e, _ in found], [m.score for _, m in found], label="validation top-1")
        best = max((line for line in measured if line.best), key=lambda line: line.epoch)
        if best.val is not None:
            scores.plot([best.epoch], [best.val.score], "o", label=f"kept: epoch {best.epoch}")
    scores.plot(
        epochs, [line.waited_share for line in history], ":", label="time waiting for clips"
    )
    losses.set(title="loss", xlabel="epoch")
    scores.set(title="shares", xlabel="epoch", ylim=(0, 1))
    return to_png(figure)
