"""Committed rows for a person: the columns that their kind of dataset shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.committed import committed_shards
from vfeat.tables.kind import kind_of
from vfeat.tables.opened_root import dataset_root
from vfeat.tables.parquet import opened, reading

_BATCH_ROWS = 1024


@dataclass(frozen=True)
class ShownRow:
    """A row of a committed file.

    Attributes:
        start_s, end_s: seconds from the first frame; None in datasets without times.
        labels: name and score, best first.
        head: the head that predicted; None for a clip.
        window: of a prediction, None for the whole video and for a clip.
        others: further columns that the kind of dataset shows, by name.
    """

    uri: str
    start_s: float | None
    end_s: float | None
    labels: tuple[tuple[str, float], ...]
    head: str | None = None
    window: int | None = None
    others: dict[str, Any] = field(default_factory=dict)


def shown_rows(uri: str, count: int, part_of_uri: str = "") -> list[ShownRow]:
    """Read the first rows of a dataset, in the order of its files, without vectors.

    Args:
        part_of_uri: only videos whose URI holds this.

    Raises:
        JobError: there is no dataset.
    """
    root = dataset_root(uri)
    found = (row for row in _rows(root) if part_of_uri in row.uri)
    return list(islice(found, count))


def _rows(root: Root) -> Iterator[ShownRow]:
    kind = kind_of(root)
    columns = ["uri", *kind.shown]
    for shard in layout.in_order(committed_shards(root)):
        key = kind.key(shard)
        with reading(root, key), opened(root, key) as reader:
            for batch in reader.batches(_BATCH_ROWS, columns):
                for row in batch.to_pylist():
                    labels = row.pop("labels", ())
                    yield ShownRow(
                        row.pop("uri"), row.pop("start_s", None), row.pop("end_s", None),
                        tuple((entry["label"], entry["score"]) for entry in labels),
                        row.pop("head", None), row.pop("window_index", None), row,
                    )  # fmt: skip
