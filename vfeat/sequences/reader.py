"""Reader of one video's features, in order, as one array and a mask.

Shape legend: L steps of the sequence, D width. A step is a clip, a frame step of a clip or a patch
token, depending on the level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.errors import JobError, StorageError
from vfeat.job.recipe import Level
from vfeat.outcome import subtract
from vfeat.plan.sequence_ref import SequenceRef, fold_gaps
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.footer import OUTCOMES_KEY, load_outcomes, row_spans
from vfeat.tables.index_rows import pieces_of, ranges_of
from vfeat.tables.parquet import ParquetReader, open_reader, reading
from vfeat.tables.sorted_ids import SortedIds, ids_of

__all__ = ["FeatureSequence", "SequenceReader", "SequenceRef", "SettledVideo"]
_REF_COLUMNS = (
    "video_id", "uri", "duration_s", "planned_clips", "clips", "pieces", "unsettled", "opened",
    "mended", "gaps", "rows_end",
)  # fmt: skip
COLUMNS: dict[Level, str] = {
    "clip": "embedding",
    "frame": "frame_tokens",
    "patch": "patch_tokens",
}


@dataclass(frozen=True)
class FeatureSequence:
    """Features of a clip range of one video.

    Attributes:
        values_LD: float32; zeros at missing steps.
        mask_L: True where a step is present.
        first_clip: clip of step 0.
        steps_per_clip: steps of one clip; either all of them are present or none.
    """

    values_LD: npt.NDArray[np.float32]
    mask_L: npt.NDArray[np.bool_]
    first_clip: int
    steps_per_clip: int


@dataclass(frozen=True)
class SettledVideo:
    """A video that waits for no clip.

    Attributes:
        mended: a later plan brought rows for clips that had failed.
    """

    ref: SequenceRef
    mended: bool


class SequenceReader:
    """Sequences of a features dataset at one level.

    Args:
        dataset: dataset that `vfeat.open` returned.
        level: `clip` embeddings, or the `frame` or `patch` tokens kept by `--tokens`.

    Raises:
        JobError: the dataset does not keep that level.
    """

    def __init__(self, dataset: FeatureDataset, level: Level = "clip") -> None:
        kept = dataset.recipe.output.tokens
        if level not in ("clip", kept):
            raise JobError(
                f"{dataset.root.uri} keeps no {level} tokens (it was extracted with --tokens "
                f"{kept}); extract it again with --tokens {level} into another root"
            )
        self.dataset = dataset
        self.level = level
        self._root = dataset.root
        self._open_key: str | None = None
        self._open_file: ParquetReader | None = None
        self._spans: dict[str, tuple[int, int]] = {}  # of each video in the open file
        self._held: tuple[str, int, pa.Table] | None = None

    def refs(self, *, with_damaged: bool = False) -> Iterator[SequenceRef]:
        """Yield videos that have rows and wait for none, in plan order.

        Args:
            with_damaged: also yield videos whose file cannot be read; `read` then raises the
                reason. Otherwise such a file is a StorageError.
        """
        for video in self.settled(with_damaged=with_damaged):
            yield video.ref

    def settled(
        self, *, with_damaged: bool = False, passed: SortedIds | None = None
    ) -> Iterator[SettledVideo]:
        """Yield what `refs` does, and whether a later plan mended the video.

        Args:
            with_damaged: as of `refs`.
            passed: videos to leave out, unless they were mended.
        """
        state = dataset_state(self._root, pass_damaged=with_damaged)
        for table in state.tables(_REF_COLUMNS):
            yield from _settled(table, state.damaged, passed)

    def width(self) -> int:
        """Return the width D of the stored vectors.

        Raises:
            JobError: nothing is committed yet.
        """
        return self._shape[1]

    def steps_per_clip(self) -> int:
        """Return the steps of one clip: 1, its frame steps, or all its patch tokens."""
        return self._shape[0]

    def read(
        self, ref: SequenceRef, first_clip: int = 0, last_clip: int | None = None
    ) -> FeatureSequence:
        """Read steps first_clip..last_clip (inclusive) of a sequence; only their row groups.

        A step is a clip; in a video with long gaps, clips behind a fold have earlier steps.

        Args:
            ref: the video.
            first_clip, last_clip: range of steps; `last_clip` None for the last one.

        Raises:
            StorageError: a file is missing, or its bytes are not those that were written.
        """
        last = ref.clips - 1 if last_clip is None else last_clip
        count, steps, width = last - first_clip + 1, self.steps_per_clip(), self.width()
        values = np.zeros((count, steps, width), np.float32)
        mask = np.zeros(count, np.bool_)
        for key, first_row, rows in ref.pieces:
            for table in self._rows(ref, key, first_row, rows):
                # a video's rows are in order
                index = steps_of(ref, table.column("clip_index").to_numpy())
                begin, end = np.searchsorted(index, [first_clip, last + 1]).tolist()
                if begin == end:
                    continue
                place = index[begin:end] - first_clip
                # Slices only: pyarrow's filter of a sliced, nested fixed-size list takes other
                # rows' values.
                wanted = self._vectors(table.slice(begin, end - begin))
                values[place] = wanted.reshape(end - begin, steps, width)
                mask[place] = True
        return FeatureSequence(
            values.reshape(count * steps, width), np.repeat(mask, steps), first_clip, steps
        )

    def _rows(self, ref: SequenceRef, key: str, first: int, rows: int) -> Iterator[pa.Table]:
        """Yield the video's rows of one file, one row group at a time."""
        file = self._file(key)
        if self._spans.get(ref.video_id) != (first, rows):
            raise StorageError(
                f"{self._root.url(key)} was written anew since this work was planned: its rows of "
                f"{ref.uri} are others now. Run the same command again (vfeat classify: with "
                "--retry-errors all)"
            )
        start = 0
        for group in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            begin, end = max(first, start), min(first + rows, start + size)
            if begin < end:
                yield self._row_group(key, group).slice(begin - start, end - begin)
            start += size

    def _row_group(self, key: str, group: int) -> pa.Table:
        """Read a row group; keep the last one, since neighbours in a file are read in sequence."""
        if self._held is None or self._held[:2] != (key, group):
            columns = ["clip_index", COLUMNS[self.level]]
            file = self._file(key)
            with reading(self._root, key):
                self._held = (key, group, file.read_row_group(group, columns))
        return self._held[2]

    def _vectors(self, table: pa.Table) -> npt.NDArray[np.float32]:
        values = table.column(COLUMNS[self.level]).combine_chunks()
        while pa.types.is_fixed_size_list(values.type):
            values = values.flatten()
        vectors: npt.NDArray[np.float32] = values.to_numpy(zero_copy_only=False).astype(np.float32)
        return vectors

    def _file(self, key: str) -> ParquetReader:
        if self._open_key != key or self._open_file is None:
            with reading(self._root, key):
                file = open_reader(self._root, key, checked=True)
                self._spans = row_spans(load_outcomes(file.metadata.metadata[OUTCOMES_KEY]))
            self._open_key, self._open_file = key, file
        return self._open_file

    def _schema(self) -> pa.Schema:
        keys = self.dataset.files()
        if not keys:
            raise JobError(f"{self._root.uri} holds no committed rows yet; see `vfeat status`")
        if self._open_file is not None:
            return self._open_file.schema
        for key in keys[:-1]:
            with suppress(StorageError):  # all files have one schema: any readable one will do
                return self._file(key).schema
        return self._file(keys[-1]).schema

    @cached_property
    def _shape(self) -> tuple[int, int]:
        """Steps of a clip and their width; one for the whole dataset, so it is looked up once."""
        kind = self._schema().field(COLUMNS[self.level]).type
        if self.level == "clip":
            return 1, int(kind.list_size)
        return int(kind.list_size), int(kind.value_type.list_size)


def steps_of(ref: SequenceRef, clip_index: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Map clip indices to steps of the sequence.

    Args:
        ref: the video with its folds.
        clip_index: indices in ascending order.
    """
    steps = clip_index.astype(np.int64)
    for fold in reversed(ref.folds):
        steps[clip_index >= fold.position + ref.left_out(fold.position)] -= fold.clips
    return steps


def _settled(
    rows: pa.Table, damaged: Mapping[str, str], passed: SortedIds | None
) -> Iterator[SettledVideo]:
    """Yield videos whose every clip is a row, empty or failed, or in a damaged file."""
    settled = pc.equal(pc.list_value_length(rows.column("unsettled")), 0)
    wanted = pc.and_(settled, pc.greater(rows.column("clips"), 0))
    if damaged:
        lost = pa.array([bytes.fromhex(video_id) for video_id in damaged], pa.binary(16))
        unread = pc.and_(pc.is_in(rows.column("video_id"), lost), rows.column("opened"))
        wanted = pc.or_(wanted, unread)
    if passed is not None and len(passed):
        known = pa.array(passed.contains(ids_of(rows.column("video_id"))))
        wanted = pc.and_(wanted, pc.or_(pc.invert(known), rows.column("mended")))
    for row in rows.filter(wanted).to_pylist():
        yield SettledVideo(_ref(row, damaged), row["mended"])


def _ref(row: Mapping[str, Any], damaged: Mapping[str, str]) -> SequenceRef:
    video_id = row["video_id"].hex()
    about = (video_id, row["uri"])
    if (key := damaged.get(video_id)) is not None:
        return SequenceRef(*about, row["planned_clips"], 0, row["duration_s"], ((key, 0, 0),))
    ranges = subtract([(0, row["rows_end"] - 1)], ranges_of(row["gaps"]))
    steps, folds = fold_gaps(row["planned_clips"], ranges)
    pieces = tuple(pieces_of(row))
    return SequenceRef(*about, steps, row["clips"], row["duration_s"], pieces, folds)
