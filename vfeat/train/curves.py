"""A picture of a training: losses, and the validation score beside the baseline's."""

from __future__ import annotations

import io
from collections.abc import Sequence

from vfeat.errors import EnvironmentMissing
from vfeat.train.metrics import Metrics
from vfeat.train.trainer import Epoch


def draw_curves(
    task: str, history: Sequence[Epoch], val: Metrics, baseline: Metrics | None
) -> bytes:
    """A PNG.

    Raises:
        EnvironmentMissing: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # no pyplot: no display, no global state
    except ImportError:
        raise EnvironmentMissing(
            "no picture of the curves: matplotlib is not installed. Run: pip install 'vfeat[plots]'"
        ) from None
    sign = -1 if val.mse is not None else 1
    epochs = [line.epoch for line in history]
    best = max((line for line in history if line.best), key=lambda line: line.epoch)
    name = val.headline()[0]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    losses.plot(epochs, [line.train_loss for line in history], label="training")
    losses.plot(epochs, [line.val_loss for line in history], label="validation")
    losses.set(title=f"{task}: loss", xlabel="epoch")
    scores.plot(epochs, [sign * line.val_score for line in history], label="ViS4mer")
    scores.plot([best.epoch], [sign * best.val_score], "o", label=f"kept: epoch {best.epoch}")
    if baseline is not None:
        scores.axhline(baseline.headline()[1], linestyle="--", color="grey", label="mean + linear")
    scores.set(title=f"{task}: validation {name}", xlabel="epoch")
    for axes in (losses, scores):
        axes.legend()
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
