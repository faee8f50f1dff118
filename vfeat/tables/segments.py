"""Segments of the index: immutable files of folded states, and the history that they form.

`index/<number>.parquet` is create-only and has the next number: of two drivers one is refused, and
reads again. A segment names all the segments that were in force when it was made; so the newest
whose predecessors are there decides which are. What it replaces it leaves out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vfeat.corpus.id_set import IdSet
from vfeat.corpus.ids import ID, Ids
from vfeat.errors import StorageError
from vfeat.storage.failures import MissingObject
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables import layout
from vfeat.tables.index_rows import ROWS
from vfeat.tables.parquet import ParquetReader, open_reader
from vfeat.tables.plans import EXTRA
from vfeat.tables.sorted_ids import SortedIds, ids_of

BATCH_ROWS = 65_536
EACH_ITS_OWN = ("video_id", "uri", "etag")  # a dictionary of these costs more than it saves
_ABOUT = b"vfeat.index"


@dataclass(frozen=True)
class Segment:
    """One open segment.

    Attributes:
        base: numbers and identities of the segments in force beneath it, oldest first.
        groups: digest of each group that it stands for.
        shards: number of shards of these groups.
        overrides: rows at its end that replace rows of segments beneath it.
    """

    number: int
    identity: str
    base: tuple[tuple[int, str], ...]
    groups: dict[int, str]
    shards: dict[int, int]
    overrides: int
    reader: ParquetReader

    @property
    def rows(self) -> int:
        """Number of rows, overriding ones included."""
        return int(self.reader.metadata.num_rows)

    @property
    def extras(self) -> dict[str, pa.DataType]:
        """Types of the further columns of lists, by their names there."""
        return {
            field.name.removeprefix(EXTRA): field.type
            for field in self.reader.schema
            if field.name.startswith(EXTRA)
        }

    def ids(self) -> Iterator[Ids]:
        """Yield the ids of all rows, in batches."""
        for batch in self.reader.batches(BATCH_ROWS, ["video_id"]):
            yield ids_of(batch.column(0))

    def rows_of(self, videos: SortedIds | IdSet) -> npt.NDArray[np.bool_]:
        """Return for each row whether it is of one of these videos."""
        if not len(videos):
            return np.zeros(self.rows, np.bool_)
        return np.concatenate([np.empty(0, np.bool_), *map(videos.contains, self.ids())])

    def overriding(self) -> Ids:
        """Return the ids of the rows that replace others."""
        first, groups = self.rows - self.overrides, []
        start = 0
        for group in range(self.reader.metadata.num_row_groups):
            start += self.reader.metadata.row_group(group).num_rows
            if start > first:
                groups.append(group)
        if not groups:
            return np.empty(0, ID)
        batches = self.reader.batches(BATCH_ROWS, ["video_id"], groups)
        ids = _joined([ids_of(batch.column(0)) for batch in batches])
        return ids[len(ids) - self.overrides :]

    def tables(
        self, columns: Sequence[str], kept: npt.NDArray[np.bool_] | None = None
    ) -> Iterator[pa.Table]:
        """Yield some columns of the rows, in batches.

        Args:
            columns: those that the segment has not are left out.
            kept: which rows; None for all.
        """
        present = [name for name in columns if name in self.reader.schema.names]
        place = 0
        for group in range(self.reader.metadata.num_row_groups):
            size = self.reader.metadata.row_group(group).num_rows
            if kept is None or kept[place : place + size].any():
                start = place
                for batch in self.reader.batches(BATCH_ROWS, present, [group]):
                    table = pa.Table.from_batches([batch])
                    if kept is not None:
                        table = table.filter(pa.array(kept[start : start + len(batch)]))
                    start += len(batch)
                    if len(table):
                        yield table
            place += size


class SegmentWriter:
    """Writer of a segment into a local file: rows as they come, overriding ones at the end."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self.identity = here().token()
        self.rows = 0
        self._schema = schema
        self._overriding: list[pa.Table] = []
        self._waiting: list[pa.Table] = []
        repeated = [name for name in schema.names if name not in EACH_ITS_OWN]
        self._writer = pq.ParquetWriter(
            path, schema, compression="zstd", write_page_checksum=True,
            use_dictionary=[*repeated, "pieces.list.element.file"],
        )  # fmt: skip

    def add(self, rows: pa.Table) -> None:
        """Add rows of videos that no segment has yet."""
        if len(rows):
            self.rows += len(rows)
            self._waiting.append(rows)
            if sum(map(len, self._waiting)) >= BATCH_ROWS:
                self._flush()

    def override(self, rows: pa.Table) -> None:
        """Add rows that replace those of older segments."""
        if len(rows):
            self.rows += len(rows)
            self._overriding.append(rows)

    def close(
        self, groups: Mapping[int, str], shards: Mapping[int, int], base: Sequence[Segment]
    ) -> None:
        """Finish the file.

        Args:
            groups: digest of each group that the segment stands for.
            shards: number of shards of each.
            base: the segments in force beneath it.
        """
        self._flush()
        self._waiting, overrides = self._overriding, sum(map(len, self._overriding))
        self._flush()
        about = {
            "identity": self.identity,
            "base": [(segment.number, segment.identity) for segment in base],
            "groups": {str(number): [digest, shards[number]] for number, digest in groups.items()},
            "overrides": overrides,
        }
        self._writer.add_key_value_metadata({_ABOUT: json.dumps(about).encode()})
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=BATCH_ROWS)
        self._waiting = []


def segments_in_force(
    root: Root, numbers: Sequence[int]
) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Open the newest segment whose predecessors are there, and these.

    Returns:
        The segments, oldest first, and the keys of the others.

    Raises:
        MissingObject: one was deleted since the listing.
        StorageError: one cannot be read.
    """
    chain: tuple[Segment, ...] = ()
    for number in reversed(numbers):
        newest = _open(root, number)
        if not {number for number, _ in newest.base} <= set(numbers):
            continue
        beneath = [_open(root, number) for number, _ in newest.base]
        if [segment.identity for segment in beneath] == [identity for _, identity in newest.base]:
            chain = (*beneath, newest)
            break
    in_force = {segment.number for segment in chain}
    others = tuple(_key(number) for number in numbers if number not in in_force)
    return chain, others


def create_segment(root: Root, number: int, path: str) -> bool:
    """Publish a finished segment; False when another driver took its number."""
    return root.create_file(_key(number), path)


def _key(number: int) -> str:
    return f"{layout.INDEX}/{layout.segment_name(number)}"


def _open(root: Root, number: int) -> Segment:
    key = _key(number)
    try:
        reader = open_reader(root, key)
        about = json.loads(reader.metadata.metadata[_ABOUT])
        if not set(ROWS.names) <= set(reader.schema.names):
            raise KeyError("columns are missing")
    except MissingObject:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{root.url(key)} is not a readable part of the index ({error}): run "
            f"vfeat reindex {root.uri}"
        ) from None
    groups = {int(number): entry for number, entry in about["groups"].items()}
    return Segment(
        number,
        about["identity"],
        tuple((number, identity) for number, identity in about["base"]),
        {number: digest for number, (digest, _) in groups.items()},
        {number: shards for number, (_, shards) in groups.items()},
        about["overrides"],
        reader,
    )


def _joined(parts: list[Ids]) -> Ids:
    return np.concatenate([np.empty(0, ID), *parts])
