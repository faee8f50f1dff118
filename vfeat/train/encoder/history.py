"""The history of a training, epoch by epoch, and its result for `metrics.json` and `--json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from vfeat.job.train_encoder import Keep
from vfeat.train.metrics import Metrics
from vfeat.train.task import Split


@dataclass(frozen=True)
class EpochLine:
    """One line of the history.

    Attributes:
        epoch: number of the epoch, from 1.
        losses: means over the epoch's clips, by name.
        lr: learning rate of the last step.
        clips: number of clips that were learned from.
        seconds: time of learning in this epoch.
        waited_share: share of that time spent waiting for clips, in [0, 1].
        val: metrics of the validation split; None if the epoch was not validated.
        val_losses: validation losses of an objective that does not classify.
        best: no earlier epoch was better.
    """

    epoch: int
    losses: Mapping[str, float]
    lr: float
    clips: int
    seconds: float
    waited_share: float
    val: Metrics | None = None
    val_losses: Mapping[str, float] | None = None
    best: bool = False

    def rank(self, keep: Keep) -> tuple[float, float] | None:
        """Return the epoch's rank, higher is better; None if no measurement counts."""
        if keep == "last":
            return (self.epoch, 0.0)
        if self.val is None:
            return None if not self.val_losses else (-self.val_losses["loss"], 0.0)
        score, loss = self.val.score, self.val.loss
        return (score, -loss) if keep == "score" else (-loss, score)

    def to_json(self) -> dict[str, Any]:
        """Return the line for `metrics.json` and the checkpoint."""
        val = None if self.val is None else self.val.to_json()
        return {**asdict(self), "val": val}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> EpochLine:
        kept = {f.name: content[f.name] for f in fields(cls)}
        val = None if kept["val"] is None else Metrics(**kept["val"])
        return cls(**{**kept, "val": val})


@dataclass
class Progress:
    """Position of a training: the part of a checkpoint beside the trainer's state.

    Attributes:
        epoch: the current epoch, from 1.
        step: number of its finished steps.
        clips: clips of these steps.
        sums: losses times clips, summed over these steps.
        given: predicted probability of each video's label in these steps, by row.
        known: the same from earlier epochs, the last value of each video.
        seconds, waited_s: time spent on these steps, and waiting for clips in it.
        history: lines of the earlier epochs.
    """

    epoch: int = 1
    step: int = 0
    clips: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    given: dict[int, float] = field(default_factory=dict)
    known: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    waited_s: float = 0.0
    history: list[EpochLine] = field(default_factory=list)

    def add(self, losses: Mapping[str, float], clips: int) -> None:
        """Record a finished step."""
        self.step += 1
        self.clips += clips
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * clips

    def means(self) -> dict[str, float]:
        """Return the mean losses of the epoch so far."""
        return {name: value / max(1, self.clips) for name, value in self.sums.items()}

    def next_epoch(self, line: EpochLine) -> None:
        """Append the epoch's line and begin the next epoch."""
        self.history.append(line)
        self.epoch, self.step, self.clips, self.sums = self.epoch + 1, 0, 0, {}
        self.known, self.given = self.known | self.given, {}
        self.seconds = self.waited_s = 0.0

    @property
    def best(self) -> EpochLine | None:
        """The epoch whose weights are kept, or None."""
        return max((line for line in self.history if line.best), key=_number, default=None)

    def is_best(self, line: EpochLine, keep: Keep) -> bool:
        """Return whether this epoch would be the best so far."""
        rank = line.rank(keep)
        others = [other.rank(keep) for other in self.history]
        return rank is not None and all(other is None or rank > other for other in others)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "history": [line.to_json() for line in self.history]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Progress:
        history = [EpochLine.from_json(line) for line in content["history"]]
        rows = {name: _by_row(content.get(name, {})) for name in ("given", "known")}
        return cls(**{**content, **rows, "history": history})


def _by_row(content: Mapping[str, float]) -> dict[int, float]:
    """Convert the keys to numbers: JSON has no numeric keys."""
    return {int(row): value for row, value in content.items()}


def _number(line: EpochLine) -> int:
    return line.epoch


@dataclass(frozen=True)
class EncoderResult:
    """Result of a training so far; `finished` once it is all of it.

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
        """Share of the time of learning that was spent waiting for clips."""
        lines = self.progress.history
        seconds = sum(line.seconds for line in lines)
        waited_s = sum(line.seconds * line.waited_share for line in lines)
        return waited_s / max(seconds, 1e-9)


def per_class(classes: Sequence[str], metrics: Metrics) -> dict[str, dict[str, float]]:
    """Return the videos of each class and the share of them that were classified right."""
    found = {}
    for place, (name, row) in enumerate(zip(classes, metrics.confusion or [], strict=False)):
        count = sum(row)
        found[name] = {"videos": count, "top1": row[place] / count if count else 0.0}
    return found
