"""The rows of a dataset that an export holds, in its order: by uri, video and clip."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus.ids import hex_ids
from vfeat.errors import JobError
from vfeat.storage.root import Root
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.index_rows import pieces_of
from vfeat.tables.kind import TableKind, kind_of
from vfeat.tables.sorted_ids import ids_of
from vfeat.tables.video_state import Piece

_COLUMNS = ["uri", "video_id", "clips", "pieces"]
_BATCH = 2000


@dataclass(frozen=True)
class SelectedVideo:
    """A video with its rows.

    Attributes:
        rows: how many it has.
        pieces: where they stand, in plan order.
    """

    video_id: str
    uri: str
    rows: int
    pieces: tuple[Piece, ...]


class Selection:
    """All videos that have committed rows at one moment.

    In memory are the names of the videos and where their rows stand, about 150 bytes a video.

    Args:
        root: the dataset.

    Attributes:
        kind: kind of its tables.
        rows: number of rows.
        file_bytes: size of the dataset's files.

    Raises:
        JobError: nothing is committed yet.
    """

    def __init__(self, root: Root) -> None:
        self.root = root
        self.kind: TableKind = kind_of(root)
        state = dataset_state(root)
        tables = [
            table.filter(pc.greater(table.column("clips"), 0)) for table in state.tables(_COLUMNS)
        ]
        if not any(map(len, tables)):
            raise JobError(f"{root.uri} holds no committed rows yet; see `vfeat status`")
        videos = pa.concat_tables(tables)
        order = pc.sort_indices(videos, [("uri", "ascending"), ("video_id", "ascending")])
        self._videos = videos.take(order)
        self.rows: int = pc.sum(videos.column("clips")).as_py()
        self.file_bytes = state.catalogue.file_bytes
        self.shards = state.catalogue.shards

    def __len__(self) -> int:
        return len(self._videos)

    def videos(self, first: int = 0, count: int | None = None) -> Iterator[SelectedVideo]:
        """Yield videos in order, from a place on."""
        part = self._videos.slice(first, count)
        for place in range(0, len(part), _BATCH):
            batch = part.slice(place, _BATCH)
            ids = hex_ids(ids_of(batch.column("video_id"))).to_pylist()
            for video_id, row in zip(ids, batch.to_pylist(), strict=True):
                yield SelectedVideo(video_id, row["uri"], row["clips"], tuple(pieces_of(row)))

    @cached_property
    def digest(self) -> str:
        """Digest of which rows are selected, 32 hex digits: another state has another one."""
        found = hashlib.blake2b(digest_size=16)
        for video in self.videos():
            found.update(f"{video.video_id} {video.rows} {video.pieces}\n".encode())
        return found.hexdigest()

    def parts(self, part_rows: int) -> list[Part]:
        """Cut the videos into runs of about so many rows; a video is never cut."""
        parts: list[Part] = []
        first = count = rows = 0
        for place, clips in enumerate(self._videos.column("clips").to_pylist()):
            if count and rows + clips > part_rows:
                parts.append(Part(len(parts), first, count, rows))
                first, count, rows = place, 0, 0
            count, rows = count + 1, rows + clips
        return [*parts, Part(len(parts), first, count, rows)]


@dataclass(frozen=True)
class Part:
    """A run of videos that becomes one file.

    Attributes:
        number: from 0.
        first: place of its first video in the selection.
        videos, rows: how many it has.
    """

    number: int
    first: int
    videos: int
    rows: int
