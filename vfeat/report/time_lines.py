"""The labels of a long video along its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from vfeat.errors import StorageError
from vfeat.report.video_scan import LongVideo
from vfeat.storage.root import Root
from vfeat.tables.kind import PREDICTIONS, TableKind
from vfeat.tables.parquet import read_table, reading

MOST_ROWS = 20_000  # of one video
MOST_STRETCHES = 240  # of one line; shorter ones give way


@dataclass(frozen=True)
class Stretch:
    """Neighbouring clips with one best label; `score` is its mean."""

    start_s: float
    end_s: float
    label: str
    score: float


@dataclass(frozen=True)
class TimeLine:
    """One line below a video: of its clips, or of a head.

    Attributes:
        name: of the head; empty for the clips.
        whole: labels of the whole video with their scores, where a head gave some.
        left_out: stretches that are too short to be drawn, and rows that were not read.
    """

    name: str
    stretches: tuple[Stretch, ...]
    whole: tuple[tuple[str, float], ...] = ()
    left_out: int = 0


@dataclass(frozen=True)
class VideoLines:
    """The lines of one video, over its length in seconds."""

    video_id: str
    name: str
    end_s: float
    lines: tuple[TimeLine, ...]


def time_lines(root: Root, kind: TableKind, videos: Sequence[LongVideo]) -> list[VideoLines]:
    """Return the lines of videos; those whose files cannot be read are left out."""
    found = ((video, tuple(_lines_of(root, kind, video))) for video in videos)
    return [
        VideoLines(video.video_id, video.uri.rpartition("/")[2], _end_s(video, lines), lines)
        for video, lines in found
        if lines
    ]


def _end_s(video: LongVideo, lines: Sequence[TimeLine]) -> float:
    ends = [stretch.end_s for line in lines for stretch in line.stretches]
    return max([video.duration_s, *ends, 1e-3])


def _lines_of(root: Root, kind: TableKind, video: LongVideo) -> list[TimeLine]:
    of_heads = kind is PREDICTIONS
    columns = ["start_s", "end_s", "labels", *(["head", "window_index"] if of_heads else [])]
    tables, left, over = [], MOST_ROWS, 0
    try:
        for key, first, rows in sorted(video.pieces):
            taken = min(rows, left)
            left, over = left - taken, over + rows - taken
            if taken:
                with reading(root, key):
                    tables.append(read_table(root, key, columns).slice(first, taken))
    except StorageError:
        return []
    if not tables:
        return []
    table = pa.concat_tables(tables)
    return list(_of_heads(table, over) if of_heads else _of_clips(table, over))


def _of_clips(table: pa.Table, over: int) -> Iterator[TimeLine]:
    clips = [
        Stretch(row["start_s"], row["end_s"], row["labels"][0]["label"], row["labels"][0]["score"])
        for row in table.sort_by("start_s").to_pylist()
        if row["labels"]
    ]
    if clips:
        yield _line("", clips, (), over)


def _of_heads(table: pa.Table, over: int) -> Iterator[TimeLine]:
    rows = table.to_pylist()
    for head in dict.fromkeys(row["head"] for row in rows):
        mine = [row for row in rows if row["head"] == head and row["labels"]]
        whole = next((row for row in mine if row["window_index"] is None), None)
        windows = sorted((r for r in mine if r["window_index"] is not None), key=_start)
        shown = windows or ([whole] if whole else [])
        clips = [
            Stretch(r["start_s"], r["end_s"], r["labels"][0]["label"], r["labels"][0]["score"])
            for r in shown
        ]
        best = tuple((e["label"], e["score"]) for e in whole["labels"][:3]) if whole else ()
        yield _line(str(head), clips, best, over)


def _start(row: dict[str, float]) -> float:
    return row["start_s"]


def _line(
    name: str, clips: Sequence[Stretch], whole: tuple[tuple[str, float], ...], over: int
) -> TimeLine:
    merged = merge(clips)
    left_out = over
    if len(merged) > MOST_STRETCHES:
        longest = sorted(merged, key=lambda s: s.start_s - s.end_s)[:MOST_STRETCHES]
        left_out += len(merged) - MOST_STRETCHES
        merged = sorted(longest, key=lambda s: s.start_s)
    return TimeLine(name, tuple(merged), whole, left_out)


def merge(clips: Sequence[Stretch]) -> list[Stretch]:
    """Join neighbours with one label; overlapping clips end where the next one begins."""
    merged: list[Stretch] = []
    counts: list[int] = []
    for place, clip in enumerate(clips):
        following = clips[place + 1].start_s if place + 1 < len(clips) else clip.end_s
        end_s = max(clip.start_s, min(clip.end_s, following))
        last = merged[-1] if merged else None
        if last and last.label == clip.label and clip.start_s - last.end_s < 1e-3:
            score = (last.score * counts[-1] + clip.score) / (counts[-1] + 1)
            merged[-1] = Stretch(last.start_s, end_s, last.label, score)
            counts[-1] += 1
        else:
            merged.append(Stretch(clip.start_s, end_s, clip.label, clip.score))
            counts.append(1)
    return merged
