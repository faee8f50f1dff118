"""Conditions on rows in SQL: `label = 'zoom_in' and start_s < 60`.

DuckDB evaluates them, shut off from files and the network, so that a condition from a page's
address can do no more than compare columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vfeat.errors import EnvironmentMissing, JobError

if TYPE_CHECKING:
    import duckdb

COLUMNS = ("video_id", "uri", "clip_index", "start_s", "end_s", "labels")
NAMES = ("video_id", "uri", "clip_index", "start_s", "end_s", "label", "score", "labels")


class Condition:
    """A condition on the rows of a features dataset.

    Args:
        text: what follows WHERE in SQL, over the columns in NAMES; `label` and `score` are those
            of the best label.

    Raises:
        EnvironmentMissing: DuckDB is not installed.
        JobError: it is no condition over these columns.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._connection = _shut_off()
        empty = pa.table({name: pa.array([], _TYPES[name]) for name in COLUMNS})
        self.holds(empty)

    def holds(self, rows: pa.Table) -> npt.NDArray[np.bool_]:
        """Return for each row whether the condition holds; NULL counts as false.

        Args:
            rows: with at least the columns of COLUMNS.
        """
        import duckdb

        numbered = rows.select(list(COLUMNS)).append_column("row_", pa.array(np.arange(len(rows))))
        best = "*, labels[1].label AS label, labels[1].score AS score"
        try:
            # An expression and nothing else: text cannot leave it and become another statement.
            condition = duckdb.SQLExpression(self.text)
            stored = self._connection.from_arrow(numbered).project(best)
            found = stored.filter(condition).project("row_").fetchnumpy()["row_"]
        except duckdb.Error as error:
            first_line = str(error).splitlines()[0]
            raise JobError(
                f"--where {self.text!r}: {first_line}. The columns are {', '.join(NAMES)}, and "
                "text stands in single quotes: label = 'zoom_in' and start_s < 60"
            ) from None
        held = np.zeros(len(rows), bool)
        held[np.asarray(found, np.int64)] = True
        return held


_LABELS = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())]))
_TYPES: dict[str, pa.DataType] = {
    "video_id": pa.string(), "uri": pa.string(), "clip_index": pa.int32(),
    "start_s": pa.float64(), "end_s": pa.float64(), "labels": _LABELS,
}  # fmt: skip


def _shut_off() -> duckdb.DuckDBPyConnection:
    try:
        import duckdb
    except ImportError:
        raise EnvironmentMissing(
            "--where needs the package duckdb: pip install 'vfeat[search]'"
        ) from None
    connection = duckdb.connect(":memory:", config={"threads": 1})
    for setting in ("enable_external_access=false", "autoload_known_extensions=false",
                    "autoinstall_known_extensions=false", "lock_configuration=true"):  # fmt: skip
        connection.execute(f"SET {setting}")
    return connection
