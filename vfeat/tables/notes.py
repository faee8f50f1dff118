"""Notes of outcomes: reports that a running driver received, so that nobody reads footers for them.

`index/n-<unique>.parquet` holds the outcomes of some shards as their footers do. A note does not
count for a shard whose file does not exist, and may be deleted at any time: the footers hold the
same.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import pyarrow as pa
import pyarrow.parquet as pq

from vfeat.outcome import Outcome
from vfeat.storage.failures import MissingObject
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables import layout
from vfeat.tables.committed import committed_shards
from vfeat.tables.footer import dump_outcomes
from vfeat.tables.parquet import opened, read_table

_GROUPS = b"vfeat.groups"
_SCHEMA = pa.schema([("shard", pa.string()), ("outcomes", pa.binary())])


class OutcomeNotes:
    """The notes of one driver, written from any of its threads.

    At the start, notes of shards that are not committed are deleted: such a file was deleted by
    hand, and what comes in its place may have other outcomes.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._waiting: dict[str, bytes] = {}
        if names := layout.note_names(root.list(layout.INDEX)):
            committed = committed_shards(root)
            for name in names:
                if not _shards_of(root, name) <= committed:
                    root.delete(_key(name))

    def add(self, shard: str, outcomes: Sequence[Outcome]) -> None:
        """Take the outcomes of a shard that this run committed, whole.

        Not those of another attempt than the one whose file stands, nor of a shard that is done
        again in part.
        """
        written = dump_outcomes(outcomes)
        with self._lock:
            self._waiting[shard] = written

    def __len__(self) -> int:
        return len(self._waiting)

    def flush(self) -> None:
        """Write what was added since the last time."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        shards = layout.in_order(waiting)
        columns = {"shard": shards, "outcomes": [waiting[shard] for shard in shards]}
        groups = sorted({layout.group_of(shard) for shard in shards})
        table = pa.table(columns, schema=_SCHEMA.with_metadata({_GROUPS: json.dumps(groups)}))
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        try:
            self._root.create_bytes(_key(f"n-{here().token()}.parquet"), buffer.getvalue())
        except BaseException:
            with self._lock:
                self._waiting = waiting | self._waiting
            raise


class NotedOutcomes:
    """The notes that a reader found.

    Args:
        names: of the notes, as listed.
        replaced: shards whose files were replaced since; the notes do not count for them.
    """

    def __init__(self, root: Root, names: Iterable[str], replaced: Iterable[str]) -> None:
        self._root = root
        self._names = tuple(names)
        self._replaced = frozenset(replaced)

    @cached_property
    def groups(self) -> dict[str, frozenset[int]]:
        """The groups of each note; a note that is gone or unreadable has none."""
        found = {}
        for name in self._names:
            try:
                with opened(self._root, _key(name)) as reader:
                    said = json.loads((reader.metadata.metadata or {})[_GROUPS])
            except (MissingObject, OSError, ValueError, KeyError):
                said = []
            found[name] = frozenset(said)
        return found

    def of_group(self, group: int) -> dict[str, bytes]:
        """Return the outcomes of the noted shards of a group, in JSON."""
        found: dict[str, bytes] = {}
        for name, groups in self.groups.items():
            if group in groups:
                found |= dict(self._read(name, group))
        return found

    def superseded(self, covered: Iterable[int]) -> Iterator[str]:
        """Yield the keys of notes of these groups alone."""
        known = frozenset(covered)
        yield from (_key(name) for name, groups in self.groups.items() if groups <= known)

    def outdated(self) -> Iterator[str]:
        """Yield the keys of notes that may be of a file that was replaced since."""
        groups = {layout.group_of(shard) for shard in self._replaced}
        yield from (_key(name) for name, told in self.groups.items() if told & groups)

    def _read(self, name: str, group: int) -> Iterator[tuple[str, bytes]]:
        try:
            table = read_table(self._root, _key(name))
        except (MissingObject, OSError, ValueError):
            return
        for shard, outcomes in zip(*(table.column(n) for n in _SCHEMA.names), strict=True):
            name = shard.as_py()
            if layout.group_of(name) == group and name not in self._replaced:
                yield name, outcomes.as_py()


def _shards_of(root: Root, name: str) -> set[str]:
    try:
        return set(read_table(root, _key(name), ["shard"]).column(0).to_pylist())
    except (MissingObject, OSError, ValueError, KeyError):
        return set()


def _key(name: str) -> str:
    return f"{layout.INDEX}/{name}"
