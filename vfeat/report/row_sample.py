"""One pass over the rows of a dataset, or an even sample of its files, in bounded memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.errors import StorageError
from vfeat.report.stored_clip import StoredClip
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.committed import committed_shards
from vfeat.tables.kind import PREDICTIONS, TableKind
from vfeat.tables.parquet import opened, reading

MOST_FILES = 100
MOST_ROWS = 500_000
MOST_POINTS = 1500
SHEET_CLIPS = 4  # of a label on each side of its contact sheet
PICTURE_GRID_S = 2.0  # predictions have no clip grid of their own
_BATCH_ROWS = 4096
_SEED = 20


@dataclass
class Extremes:
    """Clips with the highest and the lowest score of a label, one of each video."""

    surest: list[StoredClip] = field(default_factory=list)
    least: list[StoredClip] = field(default_factory=list)

    def add(self, clips: list[StoredClip]) -> None:
        """Merge more clips of the label."""
        self.surest = _of_each_video(sorted([*self.surest, *clips], key=lambda c: -c.score))
        self.least = _of_each_video(sorted([*self.least, *clips], key=lambda c: c.score))

    @property
    def others(self) -> list[StoredClip]:
        """The least sure clips that are not among the surest."""
        return [clip for clip in self.least if clip not in self.surest]


@dataclass
class RowSample:
    """What was found in the rows.

    Attributes:
        files, files_read: committed files, and those of the sample.
        rows: rows read.
        labels: rows by best label.
        sheets: clips for the contact sheets, by label; the label is empty where there is none.
        points, vectors_ND: a random sample of rows with embeddings.
    """

    files: int = 0
    files_read: int = 0
    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    sheets: dict[str, Extremes] = field(default_factory=dict)
    points: list[StoredClip] = field(default_factory=list)
    vectors_ND: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), "f4"))
    damaged: list[str] = field(default_factory=list)

    @property
    def is_sampled(self) -> bool:
        """Whether some of the files were left out."""
        return self.files_read < self.files


def sample_rows(root: Root, kind: TableKind) -> RowSample:
    """Read the rows of a dataset; of a large one, those of some files spread evenly over it."""
    shards = layout.in_order(committed_shards(root))
    found = RowSample(files=len(shards))
    step = max(1.0, len(shards) / MOST_FILES)
    chosen = [shards[int(place * step)] for place in range(min(len(shards), MOST_FILES))]
    order = np.random.default_rng(_SEED)
    order.shuffle(chosen)
    priorities = np.empty(0)
    for shard in chosen:
        if found.rows >= MOST_ROWS:
            break
        found.files_read += 1
        try:
            priorities = _read(root, kind, kind.key(shard), found, priorities, order)
        except StorageError as error:
            found.damaged.append(str(error))
    return found


def _read(
    root: Root,
    kind: TableKind,
    key: str,
    found: RowSample,
    priorities: npt.NDArray[np.float64],
    order: np.random.Generator,
) -> npt.NDArray[np.float64]:
    of_predictions = kind is PREDICTIONS
    columns = ["video_id", "uri", "start_s", "end_s", "labels"]
    columns += ["window_index"] if of_predictions else ["clip_index", "embedding"]
    with reading(root, key), opened(root, key) as reader:
        for batch in reader.batches(_BATCH_ROWS, columns):
            rows = pa.Table.from_batches([batch])
            if of_predictions:  # windows are part of the time lines
                rows = rows.filter(pc.is_null(rows.column("window_index")))
            if not len(rows):
                continue
            found.rows += len(rows)
            labels, scores = _best(rows.column("labels").combine_chunks())
            _add_labels(found, rows, labels, scores)
            if not of_predictions:
                priorities = _add_points(found, rows, labels, scores, priorities, order)
    return priorities


def _best(column: pa.Array) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float64]]:
    """Return the best label of each row, empty without one, and its score."""
    count = len(column)
    labels, scores = np.full(count, "", object), np.zeros(count)
    has_any = pc.greater(pc.list_value_length(column), 0)
    first = pc.list_element(column.filter(has_any), 0)
    places = np.flatnonzero(has_any.to_numpy(zero_copy_only=False))
    if len(places):
        labels[places] = pc.struct_field(first, "label").to_numpy(zero_copy_only=False)
        scores[places] = pc.struct_field(first, "score").to_numpy(zero_copy_only=False)
    return labels, scores


def _add_labels(
    found: RowSample,
    rows: pa.Table,
    labels: npt.NDArray[np.object_],
    scores: npt.NDArray[np.float64],
) -> None:
    for label in sorted(set(labels)):
        places = np.flatnonzero(labels == label)
        if label:
            found.labels[label] += len(places)
        order = places[np.argsort(-scores[places], kind="stable")]
        wanted = list(dict.fromkeys([*order[: 4 * SHEET_CLIPS], *order[-4 * SHEET_CLIPS :]]))
        clips = _clips(rows, np.array(wanted), labels, scores)
        found.sheets.setdefault(label, Extremes()).add(clips)


def _add_points(
    found: RowSample,
    rows: pa.Table,
    labels: npt.NDArray[np.object_],
    scores: npt.NDArray[np.float64],
    priorities: npt.NDArray[np.float64],
    order: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Keep the rows with the highest random numbers; return the numbers of those kept."""
    drawn = order.random(len(rows))
    least = priorities.min() if len(priorities) >= MOST_POINTS else -1.0
    places = np.flatnonzero(drawn > least)
    if not len(places):
        return priorities
    chosen = rows.column("embedding").take(pa.array(places)).combine_chunks()
    vectors = chosen.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    vectors = vectors.reshape(len(places), -1)
    clips = found.points + _clips(rows, places, labels, scores)
    every = np.concatenate([found.vectors_ND, vectors]) if len(found.vectors_ND) else vectors
    numbers = np.concatenate([priorities, drawn[places]])
    kept = np.argsort(-numbers, kind="stable")[:MOST_POINTS]
    found.points, found.vectors_ND = [clips[place] for place in kept], every[kept]
    return np.asarray(numbers[kept])


def _clips(
    rows: pa.Table,
    places: npt.NDArray[np.int64],
    labels: npt.NDArray[np.object_],
    scores: npt.NDArray[np.float64],
) -> list[StoredClip]:
    names = [n for n in rows.column_names if n in ("video_id", "uri", "start_s", "end_s")]
    names += ["clip_index"] if "clip_index" in rows.column_names else []
    chosen = rows.select(names).take(pa.array(places)).to_pylist()
    return [
        StoredClip(
            row["video_id"], row["uri"],
            row.get("clip_index", int((row["start_s"] + row["end_s"]) / 2 // PICTURE_GRID_S)),
            row["start_s"], row["end_s"], labels[place], float(scores[place]),
        )
        for place, row in zip(places, chosen, strict=True)
    ]  # fmt: skip


def _of_each_video(clips: list[StoredClip]) -> list[StoredClip]:
    """Return the first clips, each of another video."""
    return list({clip.video_id: clip for clip in reversed(clips)}.values())[::-1][:SHEET_CLIPS]
