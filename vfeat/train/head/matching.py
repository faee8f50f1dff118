"""Matching of labels with videos; a mismatch becomes a sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev

from vfeat.errors import JobError
from vfeat.plan.sequence_ref import SequenceRef
from vfeat.train.labels import listed
from vfeat.train.splits import drawn_splits
from vfeat.train.task import SPLITS, Example, LabelRow, Task, TaskLabels, present_classes


@dataclass(frozen=True)
class Matched:
    """Tasks over videos.

    Attributes:
        tasks: the tasks with their examples.
        videos: videos that any task uses; an example's `video` is a place here.
        notes: one sentence for each thing that was left out or looks odd.
    """

    tasks: tuple[Task, ...]
    videos: tuple[SequenceRef, ...]
    notes: tuple[str, ...]


class _Videos:
    """Index of videos by every name that a label may use."""

    def __init__(self, refs: Iterable[SequenceRef]) -> None:
        self.refs: list[SequenceRef] = list(refs)
        self._exact: dict[str, int] = {}
        self._short: dict[str, set[int]] = defaultdict(set)
        for place, ref in enumerate(self.refs):
            name = ref.uri.rsplit("/", 1)[-1]
            self._exact[ref.uri] = self._exact[ref.video_id] = place
            for short in (name, name.rpartition(".")[0]):
                self._short[short].add(place)

    def find(self, key: str) -> tuple[int, ...]:
        """Return places of the videos of this name: one, none, or several of one base name."""
        if key in self._exact:
            return (self._exact[key],)
        return tuple(sorted(self._short.get(key, ()))) if key else ()


def match(
    tables: Sequence[TaskLabels], refs: Iterable[SequenceRef], seed: int, allow_missing: bool
) -> Matched:
    """Find the labelled videos and assign each to a split.

    Args:
        tables: labels of each task.
        refs: videos of the features.
        seed: seed that draws the splits that are not given.
        allow_missing: turn mismatches into notes where possible.

    Raises:
        JobError: unknown, doubly labelled or (with one's own labels) unlabelled videos, a class
            that a split lacks; all but the second may be allowed.
    """
    videos = _Videos(refs)
    if not videos.refs:
        raise JobError("the features hold no finished video yet; see `vfeat status`")
    notes: list[str] = []
    found = [_find(table, videos, notes, allow_missing) for table in tables]
    used = sorted({place for rows in found for place in rows})
    if not all(table.published for table in tables):
        _check_unlabelled(videos, set(used), notes, allow_missing)
    places = {place: new for new, place in enumerate(used)}
    kept = tuple(videos.refs[place] for place in used)
    tasks = []
    for table, rows in zip(tables, found, strict=True):
        placed = {places[place]: row for place, row in rows.items()}
        task = _task(table, placed, [ref.video_id for ref in kept], seed, notes)
        _check_splits(table, task, notes, allow_missing)
        tasks.append(task)
    return Matched(tuple(tasks), kept, tuple(notes))


def _find(
    table: TaskLabels, videos: _Videos, notes: list[str], allow_missing: bool
) -> dict[int, LabelRow]:
    """Find the label of each video, by its place."""
    unknown: list[str] = []
    lines: dict[int, list[LabelRow]] = defaultdict(list)
    for row in table.rows:
        places = videos.find(row.key)
        if len(places) > 1:
            raise JobError(
                f"{table.source}: {row.key!r} may be {len(places)} videos, such as "
                f"{videos.refs[places[0]].uri} and {videos.refs[places[1]].uri}; give the full uri"
            )
        if not places:
            unknown.append(row.key)
        else:
            lines[places[0]].append(row)
    rows = _one_each(table, lines, notes, allow_missing)
    if unknown:
        sentence = (
            f"{table.source}: {len(unknown)} of {len(table.rows)} labelled videos are not in the "
            f"features: {listed(unknown)}"
        )
        _refuse_or_note(sentence, "leaves them out", notes, allow_missing)
    if not rows:
        raise JobError(f"{table.source}: none of its {len(table.rows)} videos is in the features")
    return rows


def _one_each(
    table: TaskLabels, lines: dict[int, list[LabelRow]], notes: list[str], allow_missing: bool
) -> dict[int, LabelRow]:
    """Choose the line of each video.

    Lines that label stretches stand for their video where they have one label and no line labels
    the whole.
    """
    rows: dict[int, LabelRow] = {}
    twice: list[str] = []
    mixed: list[str] = []
    for place, own in lines.items():
        whole = [row for row in own if not row.is_part]
        if len(whole) > 1:
            twice += [row.key for row in whole[1:]]
        elif whole or len({row.target for row in own}) == 1:
            rows[place] = whole[0] if whole else own[0]
        else:
            mixed.append(own[0].key)
    if twice:
        raise JobError(f"{table.source} labels {len(twice)} videos twice: {listed(twice)}")
    if mixed:
        sentence = (
            f"{table.source}: {len(mixed)} videos have stretches of different labels, and no label "
            f"of the whole video: {listed(mixed)}"
        )
        _refuse_or_note(sentence, "leaves them out", notes, allow_missing)
    return rows


def _check_unlabelled(
    videos: _Videos, used: set[int], notes: list[str], allow_missing: bool
) -> None:
    left = [ref.uri for place, ref in enumerate(videos.refs) if place not in used]
    if left:
        sentence = (
            f"{len(left)} of {len(videos.refs)} videos of the features have no label: "
            f"{listed(left)}"
        )
        _refuse_or_note(sentence, "leaves them out", notes, allow_missing)


def _task(
    table: TaskLabels, rows: dict[int, LabelRow], ids: Sequence[str], seed: int, notes: list[str]
) -> Task:
    """Build the task over the videos that are in the features."""
    splits, held_out = drawn_splits(table, rows, ids, seed)
    if held_out:
        notes.append(
            f"{table.name}: no validation split is given; {held_out} training videos are held out"
        )
    train, val, test = (
        tuple(Example(place, rows[place].target) for place in splits[name]) for name in SPLITS
    )
    task = Task(table.name, table.kind, table.classes, train, val, test)
    if table.kind != "regression":
        return task
    if table.centre is not None:
        return replace(task, centre=table.centre)
    values = [e.target for e in train if isinstance(e.target, float)] or [0.0]
    return replace(task, centre=fmean(values), scale=pstdev(values) or 1.0)


def _check_splits(table: TaskLabels, task: Task, notes: list[str], allow_missing: bool) -> None:
    """Check that every split has videos, and every class that occurs occurs in every split."""
    for name in ("train", "val"):
        if not task.split(name):
            raise JobError(f"{table.source}: task {task.name} has no video in the {name} split")
    seen = {
        name: {c for e in task.split(name) for c in present_classes(e.target)} for name in SPLITS
    }
    occurring = set().union(*seen.values())
    for name in SPLITS:
        lacking = [task.classes[c] for c in sorted(occurring - seen[name])]
        if not lacking or not task.split(name):
            continue
        sentence = (
            f"{table.source}: task {task.name}: {len(lacking)} of {len(occurring)} classes have no "
            f"video in the {name} split: {listed(lacking)}"
        )
        allowed = allow_missing or (table.published and name != "train")
        _refuse_or_note(sentence, "goes on without them", notes, allowed)


def _refuse_or_note(sentence: str, effect: str, notes: list[str], allowed: bool) -> None:
    if not allowed:
        raise JobError(f"{sentence}. --allow-missing {effect}")
    notes.append(sentence)
