"""One dataset as a part of the page: everything that its template shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from vfeat.job.recipe import ClipSpec
from vfeat.report.embedding_map import EmbeddingMap, make_map
from vfeat.report.pictures import Album, Wanted, pictures_or_reasons
from vfeat.report.row_sample import (
    MOST_POINTS,
    PICTURE_GRID_S,
    Extremes,
    RowSample,
    sample_rows,
)
from vfeat.report.runs import RunLine, read_runs
from vfeat.report.stored_clip import StoredClip
from vfeat.report.time_lines import VideoLines, time_lines
from vfeat.report.video_scan import VideoFile, VideoScan, scan_videos
from vfeat.storage.root import Root
from vfeat.tables.about import read_about, read_recipe
from vfeat.tables.kind import FEATURES, kind_of
from vfeat.tables.status import DatasetStatus, dataset_status

MOST_SHEETS = 12  # labels that have a contact sheet
MOST_PICTURES = 320
MAP_PICTURES = 160
_LONG_VALUE = 80


@dataclass(frozen=True)
class Sheet:
    """The contact sheet of a label; empty for a sample of clips without labels."""

    label: str
    extremes: Extremes
    rows: int


@dataclass(frozen=True)
class DatasetPart:
    """What is shown of a dataset.

    Attributes:
        name: last part of its address.
        recipe: settings by their dotted names.
        colours: number of the colour of each label that has one.
    """

    name: str
    noun: str
    command: str
    status: DatasetStatus
    recipe: list[tuple[str, str]]
    runs_total: int
    runs: list[RunLine]
    scan: VideoScan
    sample: RowSample
    sheets: list[Sheet]
    lines: list[VideoLines]
    map: EmbeddingMap | None
    album: Album
    colours: dict[str, int]

    @property
    def total_videos(self) -> int:
        """Number of videos."""
        return sum(self.scan.videos.values())


def dataset_part(root: Root, most_videos: int) -> DatasetPart:
    """Read a dataset.

    Args:
        most_videos: so many videos are opened for pictures.
    """
    about, kind = read_about(root), kind_of(root)
    sample = sample_rows(root, kind)
    labels = [label for label, _ in sample.labels.most_common(MOST_SHEETS)] or [""]
    sheets = [
        Sheet(label, sample.sheets[label], sample.labels[label] or sample.rows)
        for label in labels
        if label in sample.sheets
    ]
    points = sample.points[:MAP_PICTURES]
    shown = [*_in_order(sheets), *points]
    scan = scan_videos(root, (clip.video_id for clip in shown))
    wanted: list[Wanted] = [(clip.video_id, clip.number) for clip in _in_order(sheets)]
    failed = [
        (example.video_id, picture_of_error(example.first_clip))
        for group in scan.errors.values()
        for example in group.examples
    ]
    wanted = [*wanted[: 2 * len(sheets)], *failed, *wanted[2 * len(sheets) :]]
    wanted += [(clip.video_id, clip.number) for clip in points]
    files, clip = scan.files, _grid()
    if kind is FEATURES:
        clip = read_recipe(root).clip
    else:  # their etags and sizes are those of stored features
        files = {video_id: VideoFile(file.uri, None, None) for video_id, file in files.items()}
    album = pictures_or_reasons(
        list(dict.fromkeys(wanted))[:MOST_PICTURES], files, clip, most_videos
    )
    colours = {label: number for number, label in enumerate(labels) if label}
    runs_total, runs = read_runs(root)
    return DatasetPart(
        root.uri.rstrip("/").rpartition("/")[2], kind.noun, kind.command,
        dataset_status(root.address),
        list(_flat(about["recipe"])), runs_total, runs, scan, sample, sheets,
        time_lines(root, kind, scan.longest),
        make_map(sample, colours, album, MOST_POINTS), album, colours,
    )  # fmt: skip


def picture_of_error(first_clip: int) -> int:
    """Return the clip that stands for a failed range: the last one before it, if there is one."""
    return max(0, first_clip - 1)


def _grid() -> ClipSpec:
    return ClipSpec(clip_s=PICTURE_GRID_S, stride_s=PICTURE_GRID_S)


def _in_order(sheets: list[Sheet]) -> Iterator[StoredClip]:
    """Yield the clips of the sheets: first those that matter most of every label."""
    columns = [
        list(filter(None, chain(*zip_longest(s.extremes.surest, s.extremes.least)))) for s in sheets
    ]
    for row in zip_longest(*columns):
        yield from filter(None, row)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            short = text if len(text) <= _LONG_VALUE else f"{text[:_LONG_VALUE]} …"
            yield f"{prefix}{name}", short
