"""A Lance table, for random access and vector search by LanceDB."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pyarrow as pa

from vfeat.errors import EnvironmentMissing, JobError, StorageError
from vfeat.export.proof import KeyProof
from vfeat.export.row_source import RowSource
from vfeat.export.selection import Part, Selection
from vfeat.storage.root import Root

TABLE = "features.lance"


class LanceTable:
    """One Lance table; each part is one commit of its own.

    Args:
        selection: what is exported.
        root: where to, on a disk of this machine.
        parts: how it is cut.

    Raises:
        EnvironmentMissing: pylance is not installed.
        JobError: the destination is no local folder.
    """

    def __init__(self, selection: Selection, root: Root, parts: list[Part]) -> None:
        try:
            import lance
        except ImportError:
            raise EnvironmentMissing(
                "--format lance needs the package pylance: pip install 'vfeat[lance]'"
            ) from None
        path = root.local_path(TABLE)
        if path is None:
            raise JobError(
                f"--format lance writes to a folder of this machine, not to {root.uri}: Lance "
                "commits by a client of its own; copy the finished table to the store"
            )
        self._lance: Any = lance
        self._path = str(path)
        self._selection = selection
        self._parts = parts
        self._source = RowSource(selection)

    def write(self) -> Iterator[int]:
        """Append the parts that are not committed; yield the rows done.

        Raises:
            StorageError: the table holds something else than a run of whole parts.
        """
        table = self._open()
        done = 0 if table is None else int(table.count_rows())
        ends = list(accumulate(part.rows for part in self._parts))
        if done not in (0, *ends):
            raise StorageError(
                f"{self._path} has {done:,} rows, which no part of this export ends with; delete "
                "the folder of the export and run the same command again"
            )
        schema = self._source.schema.remove_metadata()
        yield done
        for part, end in zip(self._parts, ends, strict=True):
            if end <= done:
                continue
            videos = self._selection.videos(part.first, part.videos)
            batches = (
                batch
                for rows in self._source.batches(videos)
                for batch in rows.cast(schema).to_batches()
            )
            reader = pa.RecordBatchReader.from_batches(schema, batches)
            mode = "create" if table is None else "append"
            table = self._lance.write_dataset(reader, self._path, mode=mode)
            yield end

    def prove(self) -> Iterator[int]:
        """Read all keys back in order and compare them; yield the rows compared so far."""
        index = self._selection.kind.index
        remedy = "delete the folder of the export and run the same command again"
        proof = KeyProof(self._selection.videos(), index, self._path, remedy)
        table = self._open()
        if table is None:
            raise StorageError(f"{self._path} is missing; {remedy}")
        for batch in table.scanner(columns=["video_id", index], scan_in_order=True).to_batches():
            proof.add(batch)
            yield proof.rows
        proof.close()

    def _open(self) -> Any:
        """Return the table; None before its first commit."""
        try:
            return self._lance.dataset(self._path)
        except ValueError:  # what pylance raises where no table is
            return None
