"""One pass over the state of all videos: counts, errors, the longest ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus.ids import hex_ids
from vfeat.storage.root import Root
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.index_rows import COUNTED, counts_of, open_error_rows, pieces_of, status_of
from vfeat.tables.sorted_ids import ids_of
from vfeat.tables.video_state import Piece

EXAMPLES = 4  # of an error class
LONGEST = 12
_COLUMNS = ("video_id", "uri", "etag", "size_bytes", "duration_s", "pieces", "errors")


@dataclass(frozen=True)
class ErrorExample:
    """One failed range of clips."""

    video_id: str
    uri: str
    first_clip: int
    last_clip: int
    message: str
    attempts: int

    @property
    def clips(self) -> int:
        """Number of clips that were lost."""
        return self.last_clip - self.first_clip + 1


@dataclass
class ErrorGroup:
    """All open errors of one class; the examples are those that cost most clips."""

    ranges: int = 0
    clips: int = 0
    examples: list[ErrorExample] = field(default_factory=list)


@dataclass(frozen=True)
class LongVideo:
    """A video whose time line is drawn."""

    video_id: str
    uri: str
    duration_s: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class VideoFile:
    """What the reader of a video must have; None where a dataset does not hold it."""

    uri: str
    etag: str | None
    size_bytes: int | None


@dataclass
class VideoScan:
    """Sums over all videos of a dataset, and a bounded choice of them."""

    videos: Counter[str] = field(default_factory=Counter)
    clips: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0
    duration_s: float = 0.0
    errors: dict[str, ErrorGroup] = field(default_factory=dict)
    longest: list[LongVideo] = field(default_factory=list)
    files: dict[str, VideoFile] = field(default_factory=dict)


def scan_videos(root: Root, wanted: Iterable[str]) -> VideoScan:
    """Read the state of all videos.

    Args:
        wanted: ids of the videos whose files are to be opened; those of the examples are added.
    """
    found, ids = VideoScan(), pa.array(sorted(set(wanted)), pa.string())
    columns = list(dict.fromkeys([*_COLUMNS, *COUNTED]))
    for rows in dataset_state(root).tables(columns):
        if not len(rows):
            continue
        for entry in pc.value_counts(status_of(rows)).to_pylist():
            found.videos[entry["values"]] += entry["counts"]
        found.clips.update(
            {name: pc.sum(column).as_py() or 0 for name, column in counts_of(rows).items()}
        )
        found.size_bytes += pc.sum(rows.column("size_bytes")).as_py() or 0
        found.duration_s += pc.sum(rows.column("duration_s")).as_py() or 0.0
        _add_errors(found, rows)
        _add_longest(found, rows)
        named = pc.is_in(hex_ids(ids_of(rows.column("video_id"))), ids)
        for row in rows.select(["video_id", "uri", "etag", "size_bytes"]).filter(named).to_pylist():
            found.files[row["video_id"].hex()] = _file(row)
    return found


def _add_errors(found: VideoScan, rows: pa.Table) -> None:
    errors = open_error_rows(rows, ["etag", "size_bytes"])
    if not len(errors):
        return
    lost = pc.add(pc.subtract(errors.column("last_clip"), errors.column("first_clip")), 1)
    errors = errors.append_column("lost", lost)
    for name in errors.column("error_class").unique().to_pylist():
        mine = errors.filter(pc.equal(errors.column("error_class"), name))
        group = found.errors.setdefault(name, ErrorGroup())
        group.ranges += len(mine)
        group.clips += pc.sum(mine.column("lost")).as_py()
        worst = pc.select_k_unstable(mine, EXAMPLES, [("lost", "descending")])
        for row in mine.take(worst).to_pylist():
            found.files[row["video_id"]] = _file(row)
            group.examples.append(
                ErrorExample(
                    row["video_id"], row["uri"], row["first_clip"], row["last_clip"],
                    row["message"], row["attempts"],
                )
            )  # fmt: skip
        group.examples = sorted(group.examples, key=lambda e: (-e.clips, e.uri))[:EXAMPLES]


def _add_longest(found: VideoScan, rows: pa.Table) -> None:
    has_rows = pc.greater(pc.list_value_length(rows.column("pieces")), 0)
    there = rows.select(["video_id", "uri", "duration_s", "pieces"]).filter(has_rows)
    if not len(there):
        return
    places = pc.select_k_unstable(there, LONGEST, [("duration_s", "descending")])
    found.longest += [
        LongVideo(
            row["video_id"].hex(), row["uri"], row["duration_s"] or 0.0, tuple(pieces_of(row))
        )
        for row in there.take(places).to_pylist()
    ]
    found.longest = sorted(found.longest, key=lambda v: (-v.duration_s, v.uri))[:LONGEST]


def _file(row: dict[str, Any]) -> VideoFile:
    return VideoFile(row["uri"], row["etag"], row["size_bytes"])
