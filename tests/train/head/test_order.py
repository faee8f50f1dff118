"""What the long range buys: order alone, hundreds of steps apart."""

from __future__ import annotations

from pathlib import Path

from tests.train.head.jobs import head_job
from tests.train.head.order import write_order_task
from vfeat.train.head.run import train_heads


def test_only_order_decides(tmp_path: Path) -> None:
    """Mean pooling stays at chance, ViS4mer tells the two apart.

    100 test videos: chance is 50 ± 5, and 65 is three standard deviations away.
    """
    features, labels = write_order_task(tmp_path, 500)
    (result,) = train_heads(
        head_job(
            features, tmp_path / "head", labels=str(labels), tasks={"label": "classification"},
            d_model=16, n_layers=2, dropout=0.0, lr=1e-2, s4_lr=1e-2, epochs=14, patience=14,
            plateau_patience=4,
        )
    )  # fmt: skip
    baseline, head = result.baseline["test"].top1, result.metrics["test"].top1
    assert result.videos["test"] == 100
    assert baseline is not None and 0.35 <= baseline <= 0.65
    assert head is not None and head >= 0.95
