"""Picture of a training: losses, and the validation score beside the baseline's."""

from __future__ import annotations

from collections.abc import Sequence

from vfeat.train.head.trainer import Epoch
from vfeat.train.metrics import Metrics
from vfeat.train.picture import to_png, two_diagrams


def draw_curves(
    task: str, history: Sequence[Epoch], val: Metrics, baseline: Metrics | None
) -> bytes:
    """Draw the curves as a PNG.

    Raises:
        EnvironmentMissing: matplotlib is not installed.
    """
    figure, losses, scores = two_diagrams()
    sign = -1 if val.mse is not None else 1
    epochs = [line.epoch for line in history]
    best = max((line for line in history if line.best), key=lambda line: line.epoch)
    name = val.headline()[0]
    losses.plot(epochs, [line.train_loss for line in history], label="training")
    losses.plot(epochs, [line.val_loss for line in history], label="validation")
    losses.set(title=f"{task}: loss", xlabel="epoch")
    scores.plot(epochs, [sign * line.val_score for line in history], label="ViS4mer")
    scores.plot([best.epoch], [sign * best.val_score], "o", label=f"kept: epoch {best.epoch}")
    if baseline is not None:
        scores.axhline(baseline.headline()[1], linestyle="--", color="grey", label="mean + linear")
    scores.set(title=f"{task}: validation {name}", xlabel="epoch")
    return to_png(figure)
