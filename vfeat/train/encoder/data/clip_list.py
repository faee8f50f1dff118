"""List of clips that an encoder learns from: video, class, part and split of each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vfeat.addresses import public
from vfeat.corpus import LIST_SUFFIXES, Video, iter_corpus
from vfeat.errors import JobError
from vfeat.train.labels import listed
from vfeat.train.splits import drawn_splits
from vfeat.train.task import SPLITS, LabelRow, Split, TaskLabels

UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Sample:
    """One line of the list.

    Attributes:
        row: row number in the list, from 0; random numbers are drawn by it, so that a list that
            moved with its videos trains the same.
        video: the video.
        label: index of its class.
        start_s, end_s: part of the video, seconds from the first presented frame; None for its
            beginning or end.
    """

    row: int
    video: Video
    label: int
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class Listing:
    """All samples, by split.

    Attributes:
        classes: names in the order of the network's outputs.
        splits: samples of each split.
        notes: remarks for the user.
    """

    classes: tuple[str, ...]
    splits: Mapping[Split, tuple[Sample, ...]]
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the samples of each class in each split."""
        found = {split: Counter(s.label for s in self.splits[split]) for split in SPLITS}
        return {
            name: {split: found[split][place] for split in SPLITS}
            for place, name in enumerate(self.classes)
        }


def read_listing(source: str, seed: int, *, labelled: bool = True) -> Listing:
    """Read a CSV or Parquet list; relative URIs count from its folder.

    Args:
        source: path or URI of the list.
        seed: seed that draws the splits that are not given.
        labelled: every row must have a label, and every class a clip to learn from; otherwise
            samples without a label are a class of their own.

    Raises:
        JobError: not a list, or lines that cannot be used, by their numbers.
    """
    if not public(source).lower().endswith(LIST_SUFFIXES):
        raise JobError(f"{source}: expected a list of clips, a .csv or .parquet file")
    videos = list(iter_corpus([source]))
    if not videos:
        raise JobError(f"{source}: the list is empty")
    if labelled and "label" not in videos[0].extra:
        found = ", ".join(("uri", *videos[0].extra))
        raise JobError(f"{source}: a list of clips needs a column named label; found: {found}")
    names = [_text(video.extra.get("label")) for video in videos]
    _refuse(source, "no label", [n for n, name in enumerate(names) if labelled and not name])
    names = [name or UNLABELLED for name in names]
    classes = _ordered(set(names))
    place = {name: number for number, name in enumerate(classes)}
    samples = [_sample(source, n, v, place[names[n]]) for n, v in enumerate(videos)]
    drawn, held_out = _split(source, classes, samples, seed)
    notes = [f"No split is called val: {held_out} training clips validate."] if held_out else []
    splits = {split: tuple(samples[n] for n in drawn[split]) for split in SPLITS}
    if labelled or not splits["train"]:
        _check_train(source, classes, splits["train"])
    return Listing(classes, splits, tuple(notes))


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Sort by number if all names are numbers, else by name."""
    unique = set(names)
    if all(name.lstrip("-").isdecimal() for name in unique):
        return tuple(sorted(unique, key=int))
    return tuple(sorted(unique))


def _sample(source: str, number: int, video: Video, label: int) -> Sample:
    times = [video.extra.get(name) for name in ("start_s", "end_s")]
    if all(value is None for value in times):
        return Sample(number, video, label)
    try:
        start_s, end_s = (None if value is None else float(value) for value in times)
    except (TypeError, ValueError):
        start_s = end_s = math.nan
    if not (start_s or 0.0) < (math.inf if end_s is None else end_s) or (start_s or 0.0) < 0:
        raise JobError(
            f"{source}, row {number + 1} ({video.uri}): start_s {times[0]!r} and end_s "
            f"{times[1]!r} are not a part of a video; expected seconds, 0 <= start_s < end_s"
        )
    return Sample(number, video, label, start_s, end_s)


def _split(
    source: str, classes: tuple[str, ...], samples: list[Sample], seed: int
) -> tuple[dict[Split, list[int]], int]:
    """Return the samples of each split, and how many were held out of training for validation."""
    named = [_text(sample.video.extra.get("split")).lower() for sample in samples]
    known = {str(split): split for split in SPLITS}
    wrong = [n for n, name in enumerate(named) if name and name not in known]
    _refuse(source, f"a split that is not {', '.join(SPLITS)}", wrong)
    table = TaskLabels("label", "classification", classes, (), source)
    rows = {
        n: LabelRow(sample.video.uri, sample.label, known.get(named[n]))
        for n, sample in enumerate(samples)
    }
    return drawn_splits(table, rows, [str(sample.row) for sample in samples], seed)


def _refuse(source: str, what: str, rows: list[int]) -> None:
    if rows:
        numbers = listed([str(row + 1) for row in rows])
        raise JobError(f"{source}: {len(rows)} rows have {what}: rows {numbers}")


def _check_train(source: str, classes: tuple[str, ...], train: tuple[Sample, ...]) -> None:
    """Check that every class has a training sample."""
    there = {sample.label for sample in train}
    missing = [name for place, name in enumerate(classes) if place not in there]
    if missing:
        raise JobError(
            f"{source}: no training clip of {len(missing)} of {len(classes)} classes: "
            f"{listed(missing)}"
        )
