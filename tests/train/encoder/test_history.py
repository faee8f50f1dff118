"""Which epoch's weights are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vfeat.job.train_encoder import Keep
from vfeat.train.encoder.history import EpochLine, Progress
from vfeat.train.metrics import Metrics


def progress_of(scores: list[tuple[float, float] | None], keep: Keep) -> Progress:
    """A training with these validations, each (share that was right, loss)."""
    progress = Progress()
    for found in scores:
        val = None if found is None else Metrics(100, found[1], top1=found[0])
        line = EpochLine(progress.epoch, {"loss": 1.0}, 1e-3, 10, 1.0, 0.0, val)
        progress.next_epoch(replace(line, best=progress.is_best(line, keep)))
    return progress


@pytest.mark.parametrize(
    ("keep", "scores", "best"),
    [
        ("score", [(0.90, 0.40), (0.92, 0.38), (0.91, 0.30)], 2),
        ("loss", [(0.90, 0.40), (0.92, 0.38), (0.91, 0.30)], 3),
        ("score", [(0.90, 0.40), (0.90, 0.30), (0.90, 0.35)], 2),  # where as many are right
        ("loss", [(0.90, 0.30), (0.91, 0.30), (0.90, 0.30)], 2),  # where the loss is the same
        ("last", [(0.90, 0.30), (0.91, 0.20), (0.50, 0.90), None], 4),
        ("loss", [None, (0.50, 0.90), None, (0.40, 0.95), None], 2),  # where some were validated
    ],
)
def test_the_epoch_that_is_kept(
    keep: Keep, scores: list[tuple[float, float] | None], best: int
) -> None:
    found = progress_of(scores, keep).best
    assert found is not None and found.epoch == best
    assert Progress.from_json(progress_of(scores, keep).to_json()).best == found
