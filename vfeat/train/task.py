"""A task: which videos, which answers, which split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vfeat.job.recipe import HeadKind

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Target = int | float | tuple[int, ...]  # a class, a value, or the classes that are there


@dataclass(frozen=True)
class LabelRow:
    """One line of a labels or annotation file.

    Attributes:
        key: full URI, video_id, base name or stem of a video.
        target: by the task's kind.
        split: as published or as the file says; None: to be drawn.
        is_part: the label is that of a stretch of the video.
    """

    key: str
    target: Target
    split: Split | None
    is_part: bool = False


@dataclass(frozen=True)
class TaskLabels:
    """A task before its videos are known.

    Attributes:
        source: the file, for messages.
        classes: empty for regression.
        centre: what regression targets are counted from; None: the training mean, and they
            are scaled by their standard deviation.
        published: the splits are somebody else's, and stay as they are.
        window_s, hop_s: as the protocol has them, seconds; None: whole videos.
    """

    name: str
    kind: HeadKind
    classes: tuple[str, ...]
    rows: tuple[LabelRow, ...]
    source: str
    centre: float | None = None
    published: bool = False
    window_s: float | None = None
    hop_s: float | None = None


@dataclass(frozen=True)
class Example:
    """One labelled video: its place in the list of videos, and the answer."""

    video: int
    target: Target


@dataclass(frozen=True)
class Task:
    """A task whose videos are there.

    Attributes:
        centre, scale: regression only: the network gives (value - centre) / scale.
    """

    name: str
    kind: HeadKind
    classes: tuple[str, ...]
    train: tuple[Example, ...]
    val: tuple[Example, ...]
    test: tuple[Example, ...]
    centre: float = 0.0
    scale: float = 1.0

    @property
    def outputs(self) -> int:
        """K, logits of the network."""
        return max(1, len(self.classes))

    def split(self, name: Split) -> tuple[Example, ...]:
        """Return the examples of one split."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


def present_classes(target: Target) -> tuple[int, ...]:
    """Return the classes of a target; none for regression."""
    if isinstance(target, tuple):
        return target
    return (target,) if isinstance(target, int) else ()
