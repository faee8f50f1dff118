"""Committed rows for a person: of each clip or prediction its times and its labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from vfeat.errors import JobError
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.committed import committed_shards
from vfeat.tables.kind import FEATURES, kind_of
from vfeat.tables.parquet import opened

_BATCH_ROWS = 1024
_COLUMNS = ["uri", "start_s", "end_s", "labels"]


@dataclass(frozen=True)
class ShownRow:
    """A row of `features/` or `predictions/`.

    Attributes:
        head: the head that predicted; None for a clip.
        window: of a prediction, None for the whole video and for a clip.
        labels: name and score, best first.
    """

    uri: str
    start_s: float
    end_s: float
    labels: tuple[tuple[str, float], ...]
    head: str | None = None
    window: int | None = None


def shown_rows(uri: str, count: int, part_of_uri: str = "") -> list[ShownRow]:
    """The first rows of a dataset, in the order of its files, without reading vectors.

    Args:
        part_of_uri: only videos whose URI holds this.

    Raises:
        JobError: there is no dataset.
    """
    root = Root(uri)
    if not root.exists(layout.DATASET):
        raise JobError(f"{uri} is not a vfeat dataset: it has no {layout.DATASET}")
    found = (row for row in _rows(root) if part_of_uri in row.uri)
    return list(islice(found, count))


def _rows(root: Root) -> Iterator[ShownRow]:
    kind = kind_of(root)
    of_clips = kind is FEATURES
    columns = _COLUMNS if of_clips else [*_COLUMNS, "head", "window_index"]
    for shard in sorted(committed_shards(root)):
        with opened(root, kind.key(shard)) as reader:
            for batch in reader.batches(_BATCH_ROWS, columns):
                for row in batch.to_pylist():
                    labels = tuple((entry["label"], entry["score"]) for entry in row["labels"])
                    yield ShownRow(
                        row["uri"], row["start_s"], row["end_s"], labels,
                        row.get("head"), row.get("window_index"),
                    )  # fmt: skip
