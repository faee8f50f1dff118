"""`videos.parquet` and `errors.parquet`, snapshots for people and for SQL, and the index.

All of it is made from plans and footers; losing it loses nothing. A snapshot first lets the index
stand for what is complete, so that the next one reads only what is newer.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vfeat.corpus.ids import hex_ids
from vfeat.storage.failures import MissingObject
from vfeat.storage.root import Root
from vfeat.storage.temporary import TemporaryFolder
from vfeat.surroundings import here
from vfeat.tables import layout
from vfeat.tables.catalogue import Catalogue, Group, read_catalogue, state_token
from vfeat.tables.dataset_state import DatasetState, dataset_state, state_from_footers
from vfeat.tables.group_fold import FoldedGroup
from vfeat.tables.index_rows import (
    errors_table,
    rows_table,
    videos_schema,
    videos_table,
)
from vfeat.tables.merging import merge_segments
from vfeat.tables.notes import NotedOutcomes
from vfeat.tables.parquet import opened
from vfeat.tables.plans import shard_count
from vfeat.tables.schema import ERRORS
from vfeat.tables.segments import BATCH_ROWS, EACH_ITS_OWN, SegmentWriter, create_segment
from vfeat.tables.sorted_ids import ids_of

_TOKEN = b"vfeat.state"  # of the state that a snapshot shows
_TOLD = ("video_id", "uri", "source", "gone", "changed")

# Which videos of a table (video_id as hex, uri, source) the corpus has lost; null: unknown.
IsGone = Callable[[pa.Table], pa.BooleanArray]


def cannot_tell(videos: pa.Table) -> pa.BooleanArray:
    """Return null for each video, for readers without a listing: what was known before stands."""
    return pa.nulls(len(videos), pa.bool_())


def video_tables(root: Root) -> Iterator[pa.Table]:
    """Yield the rows of `videos.parquet` as they would be published now."""
    state = dataset_state(root)
    schema = videos_schema(state.extras)
    for rows in state.tables():
        yield videos_table(rows, schema)


def publish_snapshot(root: Root, is_gone: IsGone) -> Counter[str]:
    """Bring the index up to date and replace both files.

    Args:
        is_gone: whether the corpus lost a video; where unknown, what was known before stands.

    Returns:
        The videos by status.
    """
    while True:
        counts = _publish(DatasetState(_tidied(root)), is_gone)
        if counts is not None:
            return counts


def extend_index(root: Root) -> bool:
    """Let the index stand for the groups that are complete by now; for a run that goes on.

    Returns:
        Whether there was any.
    """
    catalogue = _tidied(root)
    open_groups = {g.number for g in catalogue.uncovered if not _is_listed_whole(root, g)}
    if len(open_groups) == len(catalogue.uncovered):
        return False
    state = DatasetState(catalogue)
    with TemporaryFolder("index") as folder:
        cover = _Cover(state, os.path.join(folder, "segment.parquet"))
        for part in state.folded(lambda group: group.number in open_groups):
            cover.take(part, part.fresh, part.held)
        return cover.publish() and bool(cover.taken)


def rebuild_index(root: Root) -> Counter[str]:
    """Make the index anew from the footers, and the snapshot from it.

    Returns:
        The videos by status.
    """
    while True:
        catalogue = read_catalogue(root, ignore_segments=True)
        counts = _publish(state_from_footers(catalogue), cannot_tell)
        if counts is not None:
            return counts


def is_current(root: Root, is_gone: IsGone) -> bool:
    """Return whether the published snapshot shows what is there and what the listing holds."""
    catalogue = read_catalogue(root)
    identities = [segment.identity for segment in catalogue.segments]
    token = state_token(identities, catalogue.uncovered, bool(catalogue.markers))
    if any(_token_of(root, key) != token for key in (layout.VIDEOS, layout.ERRORS)):
        return False
    if is_gone is cannot_tell:
        return True
    for table in DatasetState(catalogue).tables(_TOLD):
        if pc.any(_differs(table, _gone(table, is_gone))).as_py():
            return False
    return True


def _tidied(root: Root) -> Catalogue:
    """Sweep what is in force no longer, and merge segments where that is due."""
    catalogue = read_catalogue(root)
    for key in catalogue.superseded:
        root.delete(key)
    if catalogue.notes:
        notes = NotedOutcomes(root, catalogue.notes, catalogue.markers.values())
        for key in {*notes.superseded(catalogue.covered), *notes.outdated()}:
            root.delete(key)
    return read_catalogue(root) if merge_segments(catalogue) else catalogue


def _is_listed_whole(root: Root, group: Group) -> bool:
    """Return whether there are as many files as shards."""
    if not group.shards:
        return False
    return len(group.shards) >= sum(shard_count(root, plan) for plan in group.plans)


def _gone(videos: pa.Table, is_gone: IsGone) -> pa.ChunkedArray:
    """Return which videos the corpus has lost, as far as is known by now."""
    if is_gone is cannot_tell or not len(videos):
        return videos.column("gone")
    told = is_gone(
        pa.table(
            {
                "video_id": hex_ids(ids_of(videos.column("video_id"))),
                "uri": videos.column("uri"),
                "source": videos.column("source"),
            }
        )
    )
    return pc.coalesce(told, videos.column("gone"))


def _differs(videos: pa.Table, gone: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return for which videos it matters; one with another object in its place is gone anyway."""
    return pc.and_not(pc.not_equal(gone, videos.column("gone")), videos.column("changed"))


def _with_gone(rows: pa.Table, gone: pa.ChunkedArray) -> pa.Table:
    place = rows.column_names.index("gone")
    return rows.set_column(place, rows.schema.field(place), gone)


def _held_with_gone(
    part: FoldedGroup, schema: pa.Schema, is_gone: IsGone
) -> dict[str, dict[str, Any]]:
    if not part.held:
        return {}
    rows = rows_table(part.held.values(), schema)
    gone = _gone(rows, is_gone).to_pylist()
    return {
        video_id: {**row, "gone": told}
        for (video_id, row), told in zip(part.held.items(), gone, strict=True)
    }


def _token_of(root: Root, key: str) -> str | None:
    """Return the token of a published snapshot; None where there is none, or of an older vfeat."""
    try:
        with opened(root, key) as reader:
            token = (reader.metadata.metadata or {}).get(_TOKEN)
    except (MissingObject, OSError, ValueError):
        return None
    return None if token is None else token.decode()


def _publish(state: DatasetState, is_gone: IsGone) -> Counter[str] | None:
    """Write a segment and the snapshot; None when another driver wrote a segment first."""
    with TemporaryFolder("snapshot") as folder:
        names = ("segment.parquet", layout.VIDEOS, layout.ERRORS)
        segment, videos, errors = (os.path.join(folder, name) for name in names)
        cover = _Cover(state, segment)
        with _Snapshot(state, videos, errors) as snapshot:
            for table in here().ahead(state.stored(state.schema.names)):
                told = _gone(table, is_gone)
                differs = pc.not_equal(told, table.column("gone"))
                table = _with_gone(table, told)
                snapshot.add(table)
                if pc.any(differs).as_py():
                    cover.override(table.filter(differs))
            for part in state.folded():
                fresh = _with_gone(part.fresh, _gone(part.fresh, is_gone))
                held = _held_with_gone(part, state.schema, is_gone)
                cover.take(part, fresh, held)
                snapshot.add(fresh)
                snapshot.add(rows_table([held[v] for v in held if v in part.final], state.schema))
            if not cover.publish():
                return None
            snapshot.finish(cover.token())
        for key, path in ((layout.VIDEOS, videos), (layout.ERRORS, errors)):
            state.catalogue.root.replace_file(key, path)
    return snapshot.counts


class _Snapshot:
    """Writer of both tables into local files."""

    def __init__(self, state: DatasetState, videos: str, errors: str) -> None:
        self.counts: Counter[str] = Counter()
        self._schema = videos_schema(state.extras)
        self._waiting: list[pa.Table] = []
        repeated = [name for name in self._schema.names if name not in EACH_ITS_OWN]
        self._videos = pq.ParquetWriter(
            videos, self._schema, compression="zstd",
            use_dictionary=[*repeated, "files.list.element.file"],
        )  # fmt: skip
        self._errors = pq.ParquetWriter(errors, ERRORS, compression="zstd")

    def __enter__(self) -> _Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self._videos.close()
        self._errors.close()

    def add(self, rows: pa.Table) -> None:
        if len(rows):
            self._waiting.append(rows)
            if sum(map(len, self._waiting)) >= BATCH_ROWS:
                self._flush()

    def finish(self, token: str) -> None:
        """Write what is left, and which state the tables show."""
        self._flush()
        for writer in (self._videos, self._errors):
            writer.add_key_value_metadata({_TOKEN: token.encode()})

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = pa.concat_tables(self._waiting)
        self._waiting = []
        videos, errors = videos_table(rows, self._schema), errors_table(rows)
        for entry in pc.value_counts(videos.column("status")).to_pylist():
            self.counts[entry["values"]] += entry["counts"]
        self._videos.write_table(videos)
        if len(errors):
            self._errors.write_table(errors)


class _Cover:
    """A new segment for what is complete by now.

    A group is taken up when its every shard is committed, and all earlier groups of its videos are
    taken up too: a row then stands for the first groups of its video, without a hole.
    """

    def __init__(self, state: DatasetState, path: str) -> None:
        self._state = state
        self._path = path
        self._writer = SegmentWriter(path, state.schema)
        self.taken: dict[int, FoldedGroup] = {}
        self._blocked: set[str] = set()  # videos of groups that were not taken up
        self._rows: dict[str, dict[str, Any]] = {}
        self._identities = [segment.identity for segment in state.catalogue.segments]

    def override(self, rows: pa.Table) -> None:
        """Replace rows of the segments."""
        self._writer.override(rows)

    def take(self, part: FoldedGroup, fresh: pa.Table, held: dict[str, dict[str, Any]]) -> None:
        """Take up a folded group, if it may be."""
        number = part.group.number
        covered = number in self._state.catalogue.covered
        if not covered:
            if not part.complete or self._blocked & held.keys():
                self._leave(held)
                return
            self.taken[number] = part
            self._writer.add(fresh)
        for video_id, row in held.items():
            if video_id not in self._blocked:
                self._rows[video_id] = row

    def publish(self) -> bool:
        """Create the segment, if there is anything new; False when its number was taken."""
        catalogue, schema = self._state.catalogue, self._state.schema
        fresh, overriding = [], []
        for video_id, row in self._rows.items():
            before = self._state.before(video_id)
            if before is None:
                fresh.append(row)
            elif any(row.get(name) != value for name, value in before.items()):
                overriding.append(row)
        self._writer.add(rows_table(fresh, schema))
        self._writer.override(rows_table(overriding, schema))
        digests = {number: part.group.digest for number, part in self.taken.items()}
        shards = {number: part.shards for number, part in self.taken.items()}
        self._writer.close(digests, shards, catalogue.segments)
        if not self._writer.rows and not self.taken:
            return True
        if not create_segment(catalogue.root, catalogue.next_segment, self._path):
            return False
        self._identities.append(self._writer.identity)
        for key in self._state.notes.outdated():  # before their markers
            catalogue.root.delete(key)
        for name, shard in catalogue.markers.items():
            if layout.group_of(shard) in self.taken:
                catalogue.root.delete(f"{layout.INDEX}/{name}")
        for key in self._state.notes.superseded(catalogue.covered | self.taken.keys()):
            catalogue.root.delete(key)
        return True

    def token(self) -> str:
        """Return the token of the state as it is now, if nothing was committed meanwhile."""
        catalogue = self._state.catalogue
        left = [group for group in catalogue.uncovered if group.number not in self.taken]
        marked = {layout.group_of(shard) for shard in catalogue.markers.values()}
        return state_token(self._identities, left, bool(marked - self.taken.keys()))

    def _leave(self, held: dict[str, dict[str, Any]]) -> None:
        """Block the videos of a group; what came from the listing is kept."""
        for video_id, row in held.items():
            before = self._state.before(video_id)
            if row and before and row["gone"] != before["gone"]:
                self._rows.setdefault(video_id, before | {"gone": row["gone"]})
        self._blocked |= held.keys()
