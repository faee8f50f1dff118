"""Reading labels.csv: `uri` or `video_id`, the labels, and perhaps the split."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from vfeat.errors import JobError
from vfeat.job.recipe import HeadKind
from vfeat.storage import MissingObject, open_source
from vfeat.train.task import SPLITS, LabelRow, Split, Target, TaskLabels

KEYS = ("uri", "video_id")
PART = ("start_s", "end_s")  # a line with one of them labels a stretch
SHOWN = 3


def read_text(uri: str) -> str:
    """Read a small text file, local or at any fsspec URI."""
    try:
        with open_source(uri) as file:
            return bytes(file.read()).decode("utf-8-sig")
    except MissingObject:
        raise JobError(f"{uri}: there is no such file") from None
    except UnicodeDecodeError:
        raise JobError(f"{uri} is not UTF-8 text") from None


def read_labels(uri: str, tasks: Sequence[tuple[str, HeadKind]]) -> list[TaskLabels]:
    """Read one table of labels for each task.

    Args:
        uri: the CSV file.
        tasks: (name, kind); labels stand in the column `name`, or in `label` when the file
            has no such column and there is one task only.

    Raises:
        JobError: columns that are missing, or cells that cannot be read, with their lines.
    """
    reader = csv.DictReader(io.StringIO(read_text(uri)))
    try:
        columns = list(reader.fieldnames or [])
        rows = [row for row in reader if any((cell or "").strip() for cell in _cells(row))]
    except csv.Error as error:
        raise JobError(f"{uri}, line {reader.line_num}: not a readable CSV: {error}") from None
    key = next((name for name in KEYS if name in columns), None)
    if key is None:
        raise JobError(f"{uri} has no column uri or video_id; it has: {', '.join(columns)}")
    for name, _ in tasks:
        if name not in columns and (len(tasks) > 1 or "label" not in columns):
            raise JobError(f"{uri} has no column {name!r}; it has: {', '.join(columns)}")
    splits = [_split(uri, place, row) for place, row in enumerate(rows)]
    return [
        _table(
            uri,
            name,
            kind,
            columns,
            [(row, row[key] or "", s) for row, s in zip(rows, splits, strict=True)],
        )
        for name, kind in tasks
    ]


def _table(
    uri: str,
    name: str,
    kind: HeadKind,
    columns: Sequence[str],
    rows: Sequence[tuple[dict[str, str | None], str, Split | None]],
) -> TaskLabels:
    """Make one task from the lines whose cell is not empty."""
    column = name if name in columns else "label"
    cells = [(row.get(column) or "").strip() for row, _, _ in rows]
    labelled = [place for place, cell in enumerate(cells) if cell]
    if not labelled:
        raise JobError(f"{uri}: column {column!r} is empty in all of {len(rows)} lines")
    classes, targets = _targets(uri, kind, [(place, cells[place]) for place in labelled])
    found = tuple(
        LabelRow(rows[place][1].strip(), target, rows[place][2], _is_part(rows[place][0]))
        for place, target in zip(labelled, targets, strict=True)
    )
    return TaskLabels(name, kind, classes, found, uri)


def _is_part(row: dict[str, str | None]) -> bool:
    return any((row.get(name) or "").strip() for name in PART)


def _cells(row: dict[str, str | None]) -> list[str | None]:
    return [cell for cell in row.values() if isinstance(cell, str)]


def _split(uri: str, place: int, row: dict[str, str | None]) -> Split | None:
    text = (row.get("split") or "").strip().lower()
    if not text:
        return None
    for split in SPLITS:
        if text == split:
            return split
    raise JobError(f"{uri}, line {place + 2}: split is one of {', '.join(SPLITS)}, not {text!r}")


def _targets(
    uri: str, kind: HeadKind, cells: list[tuple[int, str]]
) -> tuple[tuple[str, ...], list[Target]]:
    """Return the class names and, for each cell, its target."""
    if kind == "regression":
        return (), [_number(uri, place, text) for place, text in cells]
    if kind == "classification":
        classes = tuple(sorted({text for _, text in cells}))
        index = {name: number for number, name in enumerate(classes)}
        return classes, [index[text] for _, text in cells]
    sets = [[part.strip() for part in text.split(";") if part.strip()] for _, text in cells]
    classes = tuple(sorted({name for names in sets for name in names}))
    index = {name: number for number, name in enumerate(classes)}
    return classes, [tuple(sorted({index[name] for name in names})) for names in sets]


def _number(uri: str, place: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise JobError(f"{uri}, line {place + 2}: a regression label is a number, not {text!r}")
    return value


def listed(names: Sequence[str]) -> str:
    """Format a few names for a message."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
