"""One video: its time lines of labels and predictions, as plain values for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vfeat.browse.videos import Video, Videos
from vfeat.errors import JobError
from vfeat.plain_text import one_line
from vfeat.report.found import find_parts
from vfeat.report.time_lines import TimeLine, time_lines
from vfeat.report.video_scan import LongVideo
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.kind import FEATURES, PREDICTIONS, TableKind, kind_of
from vfeat.tables.parquet import read_table, reading


@dataclass(frozen=True)
class Lined:
    """A dataset that gives lines."""

    name: str
    root: Root
    kind: TableKind
    videos: Videos


def lined_datasets(root: Root, videos: Videos, predictions: list[str]) -> list[Lined]:
    """Return the dataset and those of predictions: the named ones and those beside it.

    Raises:
        JobError: a named one holds no predictions.
    """
    roots = [Root(uri) for uri in predictions]
    for other in roots:
        if not other.exists(layout.DATASET) or kind_of(other).format != PREDICTIONS.format:
            raise JobError(f"--predictions {other.uri}: expected what `vfeat classify` wrote")
    beside = [other for other in find_parts(root.uri).datasets if other.uri != root.uri]
    known = {other.uri.rstrip("/") for other in roots}
    roots += [other for other in beside if other.uri.rstrip("/") not in known]
    found = [Lined("", root, FEATURES, videos)]
    for other in roots:
        name = other.uri.rstrip("/").rpartition("/")[2]
        found.append(Lined(name, other, kind_of(other), Videos(other)))
    return found


def video_fields(video: Video, lined: list[Lined]) -> dict[str, Any]:
    """Return what the page shows of a video beside its pictures.

    Raises:
        StorageError: a file of a dataset cannot be read.
    """
    lines: list[dict[str, Any]] = []
    end_s = video.duration_s
    for dataset in lined:
        own = video if dataset.kind is FEATURES else dataset.videos.find(video.video_id)
        if own is None or not own.pieces:
            continue
        with reading(dataset.root, own.pieces[0][0]):  # a damaged file is an error, not no line
            read_table(dataset.root, own.pieces[0][0], ["start_s"])
        asked = LongVideo(own.video_id, own.uri, own.duration_s, own.pieces)
        for drawn in time_lines(dataset.root, dataset.kind, [asked]):
            end_s = max(end_s, drawn.end_s)
            lines += [_line(dataset.name, line) for line in drawn.lines]
    return {
        "video": video.video_id, "name": one_line(video.name), "uri": one_line(video.uri),
        "duration_s": end_s, "lines": lines,
    }  # fmt: skip


def _line(dataset: str, line: TimeLine) -> dict[str, Any]:
    name = " · ".join(one_line(part) for part in (dataset, line.name) if part) or "labels of clips"
    return {
        "name": name,
        "whole": [{"label": one_line(label), "score": score} for label, score in line.whole],
        "left_out": line.left_out,
        "stretches": [
            {"start_s": s.start_s, "end_s": s.end_s, "label": one_line(s.label), "score": s.score}
            for s in line.stretches
        ],
    }
