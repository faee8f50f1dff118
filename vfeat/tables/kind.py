"""The kinds of datasets, one for each stage, and in what their tables differ."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vfeat.errors import JobError
from vfeat.job.kinds import KINDS, load
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.about import read_about


@dataclass(frozen=True)
class TableKind:
    """One kind of dataset.

    Attributes:
        format: what `dataset.json` calls it.
        folder: where its committed files stand.
        index: the column that, with `video_id`, is a row's key.
        vector: the column of numbers that must be finite; None without one.
        noun: what a row is of, for people.
        command: the command that writes it.
        shown: columns that `vfeat show` prints beside the video.
    """

    format: str
    folder: str
    index: str
    vector: str | None
    noun: str
    command: str
    shown: tuple[str, ...]

    def key(self, shard: str) -> str:
        """Return the key of a shard's file."""
        return f"{self.folder}/{shard}.parquet"


FEATURES = TableKind(
    "vfeat-features", layout.FEATURES, "clip_index", "embedding", "clip", "extract",
    ("start_s", "end_s", "labels"),
)  # fmt: skip
PREDICTIONS = TableKind(
    "vfeat-predictions", layout.PREDICTIONS, "prediction_index", "logits", "prediction",
    "classify", ("start_s", "end_s", "head", "window_index", "labels"),
)  # fmt: skip


def kind_of(root: Root) -> TableKind:
    """Return the kind of a root; a root without a dataset will hold features.

    Raises:
        JobError: a stage wrote it that is not in the table of jobs.
        StorageError: its `dataset.json` is damaged.
    """
    if not root.exists(layout.DATASET):
        return FEATURES
    about = read_about(root)
    found = about["format"]
    for job in KINDS.values():
        if job.dataset is not None:
            kind: TableKind = load(job.dataset)
            if kind.format == found:
                # two commands may write the same tables
                command = about.get("command")
                return replace(kind, command=command) if command in KINDS else kind
    raise JobError(f"{root.uri} holds {found!r}, which no stage of this vfeat writes")
