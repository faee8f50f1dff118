"""The videos of a dataset by their ids: the only way from a request to a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.browse.failures import NotThere
from vfeat.browse.parameters import VIDEO_ID
from vfeat.corpus.ids import hex_ids
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.index_rows import is_out, pieces_of
from vfeat.tables.sorted_ids import ids_of
from vfeat.tables.video_state import Piece

_COLUMNS = ["video_id", "uri", "etag", "size_bytes", "duration_s", "pieces", "gone", "changed"]
_REREAD_S = 5.0  # an unknown id makes the table be read again, at most so often


@dataclass(frozen=True)
class Video:
    """One video that has rows, or should have."""

    video_id: str
    uri: str
    etag: str | None
    size_bytes: int | None
    duration_s: float
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """Last part of the address."""
        return self.uri.rpartition("/")[2]


class Videos:
    """All videos that are still in the corpus, in the order of the dataset.

    Read once; an id that is not there makes it be read again, since runs may go on.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._table: pa.Table | None = None
        self._hex: pa.Array | None = None
        self._read_s = float("-inf")

    def get(self, video_id: str) -> Video:
        """Return a video.

        Raises:
            NotThere: the dataset has none of this id.
        """
        found = self.find(video_id) if VIDEO_ID.fullmatch(video_id) else None
        if found is None:
            raise NotThere(f"no video of this dataset has the id {video_id!r:.80}")
        return found

    def find(self, video_id: str) -> Video | None:
        """Return a video; None where there is none of this id."""
        for again in (False, True):
            table, ids = self._read(again)
            place = pc.index(ids, video_id).as_py()
            if place >= 0:
                return _video(table.slice(place, 1).to_pylist()[0])
        return None

    def named(self, part: str, first: int, count: int) -> tuple[list[Video], int]:
        """Return some of the videos whose address holds a text, and how many there are."""
        table, _ = self._read(again=False)
        if part:
            held = pc.match_substring(table.column("uri"), part, ignore_case=True)
            table = table.filter(held)
        chosen = table.slice(first, count).to_pylist()
        return [_video(row) for row in chosen], len(table)

    def _read(self, again: bool) -> tuple[pa.Table, pa.Array]:
        with self._lock:
            now_s = here().now_s()
            if self._table is None or (again and now_s - self._read_s > _REREAD_S):
                parts = list(self._parts())
                schema = dataset_state(self._root).schema
                empty = pa.schema([schema.field(name) for name in _COLUMNS]).empty_table()
                table = pa.concat_tables([empty, *parts])
                ids = ids_of(table.column("video_id")) if len(table) else np.empty(0, "S16")
                self._hex = hex_ids(ids) if len(table) else pa.array([], pa.string())
                self._table, self._read_s = table, now_s
            assert self._table is not None and self._hex is not None
            return self._table, self._hex

    def _parts(self) -> Iterator[pa.Table]:
        for rows in dataset_state(self._root).tables(_COLUMNS):
            has_rows = pc.greater(pc.list_value_length(rows.column("pieces")), 0)
            kept = rows.filter(pc.and_(has_rows, pc.invert(is_out(rows))))
            if len(kept):
                yield kept


def _video(row: dict[str, Any]) -> Video:
    return Video(
        row["video_id"].hex(), row["uri"], row["etag"], row["size_bytes"],
        row["duration_s"] or 0.0, tuple(pieces_of(row)),
    )  # fmt: skip
