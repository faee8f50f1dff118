"""A folder of a training, head or encoder, from its `metrics.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vfeat.errors import StorageError
from vfeat.report.series import Series
from vfeat.storage.root import Root

METRICS = "metrics.json"
MOST_CLASSES = 60


@dataclass(frozen=True)
class SplitScore:
    """Main metrics of one split, and those of the baseline beside it."""

    split: str
    videos: int
    loss: float
    score: tuple[str, float] | None
    baseline: float | None


@dataclass(frozen=True)
class Confusion:
    """Videos by true class (rows) and predicted class (columns) of one split."""

    split: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Training:
    """A head or an encoder, for people."""

    name: str
    kind: str
    is_finished: bool
    epochs: int
    best_epoch: int | None
    classes: tuple[str, ...]
    losses: tuple[Series, ...]
    scores: tuple[Series, ...]
    splits: tuple[SplitScore, ...]
    confusion: Confusion | None
    seconds: float


def read_training(root: Root, name: str) -> Training:
    """Read `metrics.json`.

    Raises:
        StorageError: it is not as vfeat wrote it.
    """
    try:
        fields = json.loads(root.read_bytes(METRICS))
        return _training(fields, name)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise StorageError(
            f"{root.url(METRICS)} is not as a training of vfeat wrote it ({error!r:.200}); restore "
            "it from a copy"
        ) from None


def _training(fields: Mapping[str, Any], name: str) -> Training:
    history = [line for line in fields["history"] if isinstance(line, dict)]
    of_head = "task" in fields
    losses, scores = _curves_of_head(history) if of_head else _curves_of_encoder(history)
    metrics, baseline = fields.get("metrics") or {}, fields.get("baseline") or {}
    classes = tuple(str(name) for name in fields.get("classes", ()))
    confusion = next(
        (
            Confusion(split, classes, tuple(tuple(row) for row in found["confusion"]))
            for split, found in sorted(metrics.items(), key=_is_test, reverse=True)
            if found.get("confusion") and len(classes) <= MOST_CLASSES
        ),
        None,
    )
    return Training(
        str(fields["task"]) if of_head else name,
        f"head ({fields['kind']})" if of_head else "encoder",
        bool(fields.get("finished", True)), int(fields["epochs"]), fields.get("best_epoch"),
        classes, losses, scores,
        tuple(_split(s, found, baseline.get(s)) for s, found in metrics.items()),
        confusion, sum(float(line.get("seconds") or 0.0) for line in history),
    )  # fmt: skip


def _is_test(item: tuple[str, Any]) -> bool:
    return item[0] == "test"


def _curves_of_head(
    history: list[dict[str, Any]],
) -> tuple[tuple[Series, ...], tuple[Series, ...]]:
    def curve(name: str, key: str) -> Series:
        return Series(name, tuple((float(line["epoch"]), float(line[key])) for line in history))

    losses = (curve("training loss", "train_loss"), curve("validation loss", "val_loss"))
    return losses, (curve("validation score", "val_score"),)


def _curves_of_encoder(
    history: list[dict[str, Any]],
) -> tuple[tuple[Series, ...], tuple[Series, ...]]:
    names = [name for name in (history[-1]["losses"] if history else {}) if name != "gradient_norm"]
    losses = [
        Series(
            f"training {name}",
            tuple((float(e["epoch"]), float(e["losses"][name])) for e in history
                  if name in e["losses"]),
        )
        for name in names
    ]  # fmt: skip
    val = [(float(e["epoch"]), e["val"]) for e in history if e.get("val")]
    if val:
        losses.append(Series("validation loss", tuple((e, float(v["loss"])) for e, v in val)))
    found = [(e, _headline(v)) for e, v in val]
    scores = [Series("validation score", tuple((e, s[1]) for e, s in found if s is not None))]
    return tuple(losses), tuple(series for series in scores if series.points)


def _headline(metrics: Mapping[str, Any]) -> tuple[str, float] | None:
    for key, name in (("mse", "mean squared error"), ("top1", "top-1"), ("mean_ap", "mAP")):
        if metrics.get(key) is not None:
            return name, float(metrics[key])
    return None


def _split(split: str, metrics: Mapping[str, Any], baseline: Any) -> SplitScore:
    below = _headline(baseline) if isinstance(baseline, dict) else None
    return SplitScore(
        split, int(metrics["videos"]), float(metrics["loss"]), _headline(metrics),
        below[1] if below else None,
    )  # fmt: skip
