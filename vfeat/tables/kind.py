"""The two datasets that vfeat writes, and in what their tables differ."""

from __future__ import annotations

import json
from dataclasses import dataclass

from vfeat.storage.root import Root
from vfeat.tables import layout


@dataclass(frozen=True)
class TableKind:
    """One kind of dataset.

    Attributes:
        format: what `dataset.json` calls it.
        folder: where its committed files stand.
        index: the column that, with `video_id`, is a row's key.
        vector: the column of numbers that must be finite.
        noun: what a row is of, for people.
    """

    format: str
    folder: str
    index: str
    vector: str
    noun: str

    def key(self, shard: str) -> str:
        """Key of a shard's file."""
        return f"{self.folder}/{shard}.parquet"


FEATURES = TableKind("vfeat-features", layout.FEATURES, "clip_index", "embedding", "clip")
PREDICTIONS = TableKind(
    "vfeat-predictions", layout.PREDICTIONS, "prediction_index", "logits", "prediction"
)


def kind_of(root: Root) -> TableKind:
    """The kind of a root; a root without a dataset will hold features."""
    if not root.exists(layout.DATASET):
        return FEATURES
    found = json.loads(root.read_bytes(layout.DATASET))["format"]
    return PREDICTIONS if found == PREDICTIONS.format else FEATURES
