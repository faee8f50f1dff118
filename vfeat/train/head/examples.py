"""The labelled videos that a job trains on, found in the features without reading them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vfeat.errors import JobError
from vfeat.job.train_head import TrainHeadJob
from vfeat.sequences.reader import SequenceReader
from vfeat.tables.dataset import open as open_dataset
from vfeat.train.head.matching import Matched, match
from vfeat.train.head.protocols import read_protocols
from vfeat.train.labels import read_labels
from vfeat.train.task import TaskLabels

FOLDER_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")


@dataclass(frozen=True)
class Examples:
    """Labelled videos of every task, and the windows that are cut from them.

    Attributes:
        reader: reader of the features.
        matched: tasks with their splits, over the videos of the features.
        window_s, hop_s: length of a window and distance between two, seconds; None for
            whole videos.
    """

    reader: SequenceReader
    matched: Matched
    window_s: float | None
    hop_s: float | None


def find_examples(job: TrainHeadJob) -> Examples:
    """Read the labels and find their videos in the features.

    Raises:
        JobError: labels, protocols or features that cannot be used.
    """
    tables = _read_tables(job)
    reader = SequenceReader(open_dataset(job.features), job.level)
    matched = match(tables, reader.refs(), job.seed, job.allow_missing)
    return Examples(reader, matched, *_choose_window(job, tables))


def _read_tables(job: TrainHeadJob) -> list[TaskLabels]:
    if job.labels:
        tables = read_labels(job.labels, tuple(job.tasks.items()))
    else:
        tables = read_protocols(job.protocols, job.annotations or "")
    names = [table.name for table in tables]
    for name in names:
        if not FOLDER_NAME.match(name):
            raise JobError(f"--task {name}: a task's name is a folder's; use letters, digits, _.-")
        if names.count(name) > 1:
            raise JobError(f"--task {name}: named twice")
    return tables


def _choose_window(
    job: TrainHeadJob, tables: Sequence[TaskLabels]
) -> tuple[float | None, float | None]:
    """Return window and hop in seconds: the job's, or the protocol's, or None for whole videos."""
    asked = {(table.window_s, table.hop_s) for table in tables}
    if len(asked) > 1 and job.window_seconds is None:
        raise JobError("these protocols have different windows; train their heads one by one")
    window_s, hop_s = asked.pop()
    window_s = job.window_seconds or window_s
    if window_s is None:
        return None, None
    return window_s, job.hop_seconds or hop_s or window_s / 2
