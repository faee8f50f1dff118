"""The labels of a dataset with the number of their clips, counted beside everything else."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.errors import VfeatError
from vfeat.plain_text import one_line
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.parquet import read_table, reading

MOST = 400  # labels that are listed


class LabelCounts:
    """A count that grows while a thread reads the files."""

    def __init__(self, dataset: FeatureDataset) -> None:
        self._dataset = dataset
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._error: str | None = None
        self._is_done = False
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin to count."""
        threading.Thread(target=self._count, name="vfeat-labels", daemon=True).start()

    def close(self) -> None:
        """Stop after the present file."""
        self._closed.set()

    def so_far(self) -> dict[str, Any]:
        """Return the most frequent labels, and whether all files are counted."""
        with self._lock:
            most = self._counts.most_common(MOST)
            return {
                "labels": [{"label": n, "shown": one_line(n), "clips": c} for n, c in most],
                "done": self._is_done,
                "error": self._error,
            }

    def _count(self) -> None:
        try:
            for key in self._dataset.files():
                if self._closed.is_set():
                    return
                with reading(self._dataset.root, key):
                    table = read_table(self._dataset.root, key, ["labels"])
                found = _best(table.column("labels"))
                with self._lock:
                    self._counts.update(found)
        except VfeatError as error:
            self._error = f"labels were not counted: {error}"
        finally:
            self._is_done = True


def _best(labels: pa.ChunkedArray) -> dict[str, int]:
    has_one = pc.fill_null(pc.greater(pc.list_value_length(labels), 0), False)
    first = pc.list_element(labels.filter(has_one), 0)
    names = pc.struct_field(first, "label")
    return {e["values"]: e["counts"] for e in pc.value_counts(names).to_pylist()}
