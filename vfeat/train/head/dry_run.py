"""What a training of heads would do, found without doing it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vfeat.job.train_head import TrainHeadJob
from vfeat.train.head.examples import find_examples
from vfeat.train.task import SPLITS


@dataclass(frozen=True)
class HeadOutline:
    """One head that a job would train.

    Attributes:
        task: name of the head.
        kind: classification, multilabel or regression.
        classes: names of its outputs; none for a regression.
        videos: labelled videos of each split.
    """

    task: str
    kind: str
    classes: tuple[str, ...]
    videos: dict[str, int]


@dataclass(frozen=True)
class Outline:
    """Answer to a preview of `train head`.

    Attributes:
        out: folder of the heads.
        heads: one for each task.
        window_seconds, hop_seconds: windows of the videos; None for whole videos.
        epochs: most epochs.
        notes: sentences about videos that are left out.
    """

    out: str
    heads: tuple[HeadOutline, ...]
    window_seconds: float | None
    hop_seconds: float | None
    epochs: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return asdict(self)


def outline(job: TrainHeadJob) -> Outline:
    """Read the labels and the listing of the features, and nothing else.

    Raises:
        JobError: as `train_heads` would before it reads features.
    """
    found = find_examples(job)
    heads = tuple(
        HeadOutline(
            task.name,
            task.kind,
            task.classes,
            {split: len(task.split(split)) for split in SPLITS},
        )
        for task in found.matched.tasks
    )
    return Outline(job.out, heads, found.window_s, found.hop_s, job.epochs, found.matched.notes)
