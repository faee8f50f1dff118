"""The file of a person's labels: a CSV list that `train head` and `train encoder` read as it is."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

from vfeat.errors import JobError

COLUMNS = ("uri", "start_s", "end_s", "label")
SPLIT = "split"


@dataclass(frozen=True)
class Part:
    """Subject of a label: a stretch of a video, or all of it.

    Attributes:
        start_s, end_s: a stretch of the video; None for its beginning or end.
    """

    uri: str
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class Line:
    """One line of the file."""

    part: Part
    label: str
    split: str = ""


@dataclass(frozen=True)
class LabelFile:
    """All lines, in the order of the file; a part has one line."""

    lines: dict[Part, Line]
    has_splits: bool = False

    def with_label(self, part: Part, label: str) -> LabelFile:
        """Return the file with a label given, replaced, or (empty) taken away.

        Where lines have splits, a new line gets that of its video, and else `train`: a list with
        splits in some lines only is refused by trainings.
        """
        lines = dict(self.lines)
        if not label:
            lines.pop(part, None)
            return LabelFile(lines, self.has_splits)
        if (old := lines.get(part)) is not None:
            split = old.split
        else:
            given = [line for line in lines.values() if line.split]
            own = (line.split for line in given if line.part.uri == part.uri)
            split = next(own, "train") if given else ""
        lines[part] = Line(part, label, split)
        return LabelFile(lines, self.has_splits)

    def text(self) -> str:
        """Return the content of the file."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*COLUMNS, SPLIT] if self.has_splits else COLUMNS)
        for line in self.lines.values():
            part = line.part
            cells = [part.uri, _cell(part.start_s), _cell(part.end_s), line.label]
            writer.writerow([*cells, line.split] if self.has_splits else cells)
        return out.getvalue()


def parse(text: str, name: str) -> LabelFile:
    """Read a file.

    Raises:
        JobError: it has other columns or lines than a file of labels has.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise JobError(f"{name}, line {reader.line_num}: not a readable CSV: {error}") from None
    if not rows:
        return LabelFile({})
    columns = rows[0][1]
    known = {*COLUMNS, SPLIT}
    if len(set(columns)) != len(columns) or not {"uri", "label"} <= set(columns) <= known:
        raise JobError(
            f"{name} has the columns {', '.join(columns)[:200]}; expected uri and label, and "
            "perhaps start_s, end_s and split: name another file, it would lose what is in it"
        )
    lines: dict[Part, Line] = {}
    for number, row in rows[1:]:
        if len(row) != len(columns):
            raise JobError(f"{name}, line {number}: {len(row)} cells, expected {len(columns)}")
        line = _line(dict(zip(columns, row, strict=True)), f"{name}, line {number}")
        lines[line.part] = line
    return LabelFile(lines, SPLIT in columns)


def _line(cells: dict[str, str], place: str) -> Line:
    start_s, end_s = (_seconds(cells.get(column, ""), place) for column in ("start_s", "end_s"))
    if not cells["uri"]:
        raise JobError(f"{place}: no uri")
    return Line(Part(cells["uri"], start_s, end_s), cells["label"].strip(), cells.get(SPLIT, ""))


def _seconds(text: str, place: str) -> float | None:
    if not text.strip():
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise JobError(f"{place}: {text[:40]!r} is not a number of seconds")
    return found


def _cell(seconds: float | None) -> str:
    return "" if seconds is None else repr(seconds)
