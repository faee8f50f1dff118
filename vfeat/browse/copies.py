"""Copies: stretches that a video shares with others, from the table of `vfeat duplicates`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.errors import JobError, StorageError
from vfeat.plain_text import one_line
from vfeat.storage.root import Root
from vfeat.tables.duplicates import DUPLICATES
from vfeat.tables.parquet import read_table, reading

_MOST = 200


class Copies:
    """The table; both sides of its rows count."""

    def __init__(self, uri: str | None) -> None:
        """Read the file that `vfeat duplicates --out` wrote; without one there are no copies.

        Raises:
            JobError: it is no such file.
        """
        self._table = None if uri is None else _read(uri)

    def of(self, video_id: str) -> list[dict[str, Any]] | None:
        """Return the shared stretches of a video; None without a table."""
        if self._table is None:
            return None
        found = []
        for own, other in (("a", "b"), ("b", "a")):
            mine = self._table.filter(pc.equal(self._table.column(f"{own}_video_id"), video_id))
            found += [_fields(row, own, other) for row in mine.slice(0, _MOST).to_pylist()]
        return sorted(found, key=lambda copy: (copy["start_s"], copy["name"]))[:_MOST]


def _fields(row: dict[str, Any], own: str, other: str) -> dict[str, Any]:
    return {
        "start_s": row[f"{own}_start_s"], "end_s": row[f"{own}_end_s"],
        "video": row[f"{other}_video_id"], "name": one_line(row[other].rpartition("/")[2]),
        "uri": one_line(row[other]), "other_start_s": row[f"{other}_start_s"],
        "other_end_s": row[f"{other}_end_s"], "score": row["score"], "speed": row["speed"],
    }  # fmt: skip


def _read(uri: str) -> pa.Table:
    folder, _, name = uri.rpartition("/")
    root = Root(folder or ("/" if uri.startswith("/") else "."))
    try:
        with reading(root, name):
            return read_table(root, name, DUPLICATES.names)
    except (StorageError, pa.ArrowException, KeyError) as error:
        raise JobError(
            f"--duplicates {uri}: expected the file of `vfeat duplicates --out` ({error})"
        ) from None
