"""What a training came to, for `metrics.json`, `--json` and a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vfeat.train.encoder.history import Progress
from vfeat.train.metrics import Metrics
from vfeat.train.task import Split


@dataclass(frozen=True)
class EncoderResult:
    """A training so far; `finished` says whether it is all of it.

    Attributes:
        out: the encoder's folder.
        videos: of each class, of each split.
        broken: videos that could not be read.
        metrics: of the kept weights, by split; empty before the end.
    """

    out: str
    classes: tuple[str, ...]
    videos: Mapping[str, Mapping[str, int]]
    progress: Progress
    broken: int
    metrics: Mapping[Split, Metrics]
    finished: bool

    def to_json(self) -> dict[str, Any]:
        history = [line.to_json() for line in self.progress.history]
        best = self.progress.best
        return {
            "out": self.out,
            "finished": self.finished,
            "epochs": len(history),
            "best_epoch": 0 if best is None else best.epoch,
            "classes": list(self.classes),
            "videos": self.videos,
            "broken": self.broken,
            "metrics": {
                split: {**m.to_json(), "per_class": per_class(self.classes, m)}
                for split, m in self.metrics.items()
            },
            "waited_share": self.waited_share,
            "history": history,
        }

    @property
    def waited_share(self) -> float:
        """Of the time of learning, spent waiting for clips."""
        lines = self.progress.history
        seconds = sum(line.seconds for line in lines)
        waited_s = sum(line.seconds * line.waited_share for line in lines)
        return waited_s / max(seconds, 1e-9)


def per_class(classes: Sequence[str], metrics: Metrics) -> dict[str, dict[str, float]]:
    """Videos of each class and the share of them that were told right."""
    found = {}
    for place, (name, row) in enumerate(zip(classes, metrics.confusion or [], strict=False)):
        count = sum(row)
        found[name] = {"videos": count, "top1": row[place] / count if count else 0.0}
    return found
