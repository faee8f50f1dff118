"""Rows of a dataset, video by video and clip by clip, with bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa

from vfeat.errors import StorageError
from vfeat.export.selection import SelectedVideo, Selection
from vfeat.tables.parquet import ParquetReader, open_reader, reading
from vfeat.tables.video_state import Piece

_OPEN_FILES = 16
_CACHE_BYTES = 384 << 20  # row groups: a shard's file is read once, whatever the order inside
BATCH_BYTES = 32 << 20


@dataclass(frozen=True)
class _OpenFile:
    reader: ParquetReader
    starts: tuple[int, ...]  # first row of each row group, and behind the last


class RowSource:
    """Reader of the rows of selected videos.

    Args:
        selection: of a dataset.
        columns: names; None for all.
    """

    def __init__(self, selection: Selection, columns: list[str] | None = None) -> None:
        self._root = selection.root
        self._index = selection.kind.index
        self._columns = columns
        self._first = next(selection.videos(0, 1)).pieces[0][0]
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._groups: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._held_bytes = 0

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the rows, with their descriptions."""
        found = self._file(self._first).reader.schema
        names = self._columns or found.names
        return pa.schema([found.field(name) for name in names])

    def batches(self, videos: Iterable[SelectedVideo]) -> Iterator[pa.Table]:
        """Yield the rows of videos in tables of about BATCH_BYTES, in order."""
        held: list[pa.Table] = []
        size = 0
        for video in videos:
            for table in self.rows(video):
                held.append(table)
                size += table.nbytes
                if size >= BATCH_BYTES:
                    yield pa.concat_tables(held).combine_chunks()
                    held, size = [], 0
        if held:
            yield pa.concat_tables(held).combine_chunks()

    def rows(self, video: SelectedVideo) -> Iterator[pa.Table]:
        """Yield the rows of one video, clips in order.

        Raises:
            StorageError: a file cannot be read, or does not hold them as the index promises.
        """
        found = 0
        for table in self._ordered(video):
            ids = table.column("video_id").unique().to_pylist()
            if ids not in ([], [video.video_id]):
                raise StorageError(
                    f"the rows of {video.uri} are not where the index has them, but those of "
                    f"video {ids[0]}; run vfeat reindex {self._root.uri}, then this command again"
                )
            found += len(table)
            yield table.select(self.schema.names)
        if found != video.rows:
            raise StorageError(
                f"{video.uri} has {found:,} rows in {self._root.uri}, its index counts "
                f"{video.rows:,}; run vfeat verify {self._root.uri}"
            )

    def _ordered(self, video: SelectedVideo) -> Iterator[pa.Table]:
        if len(video.pieces) == 1:
            yield from self._piece(video.pieces[0])
            return
        spans = sorted((*self._span(piece), piece) for piece in video.pieces if piece[2])
        if all(one[1] < other[0] for one, other in pairwise(spans)):
            for *_, piece in spans:
                yield from self._piece(piece)
            return
        # clips that failed first and were done later stand between the others
        parts = [table for *_, piece in spans for table in self._piece(piece)]
        yield pa.concat_tables(parts).combine_chunks().sort_by(self._index)

    def _span(self, piece: Piece) -> tuple[int, int]:
        """Return the first and the last clip of a piece."""
        clips = [part.column(self._index) for part in self._piece(piece)]
        return clips[0][0].as_py(), clips[-1][-1].as_py()

    def _piece(self, piece: Piece) -> Iterator[pa.Table]:
        key, first, rows = piece
        starts = self._file(key).starts
        for group in range(len(starts) - 1):
            begin, end = max(first, starts[group]), min(first + rows, starts[group + 1])
            if begin < end:
                table = self._group(key, group)
                yield _copied(table.slice(begin - starts[group], end - begin))

    def _group(self, key: str, group: int) -> pa.Table:
        place = (key, group)
        if place in self._groups:
            self._groups.move_to_end(place)
            return self._groups[place]
        keys = [name for name in ("video_id", self._index) if name not in self.schema.names]
        with reading(self._root, key):
            table = self._file(key).reader.read_row_group(group, [*self.schema.names, *keys])
        self._groups[place] = table
        self._held_bytes += table.nbytes
        while self._held_bytes > _CACHE_BYTES and len(self._groups) > 1:
            _, dropped = self._groups.popitem(last=False)
            self._held_bytes -= dropped.nbytes
        return table

    def _file(self, key: str) -> _OpenFile:
        if key in self._files:
            self._files.move_to_end(key)
            return self._files[key]
        with reading(self._root, key):
            reader = open_reader(self._root, key, checked=True)
            counts = [
                reader.metadata.row_group(group).num_rows
                for group in range(reader.metadata.num_row_groups)
            ]
        starts = tuple(int(start) for start in np.cumsum([0, *counts]))
        if len(self._files) >= _OPEN_FILES:
            self._files.popitem(last=False)
        self._files[key] = _OpenFile(reader, starts)
        names = self.__dict__.get("schema")
        if names is not None and not set(names.names) <= set(reader.schema.names):
            raise StorageError(
                f"{self._root.url(key)} has other columns than {self._root.url(self._first)}; "
                "`vfeat verify` finds which of them is not as it was written"
            )
        return self._files[key]


def _copied(table: pa.Table) -> pa.Table:
    """Copy a slice, so that it does not keep its whole row group in memory."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()
