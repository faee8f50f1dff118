"""Reading one video's features back in order, as one array and a mask.

Shape legend: L steps of the sequence, D width. A step is a clip, a frame step of a clip or a
patch token, as asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vfeat.errors import JobError
from vfeat.plan.sequence import SequenceRef
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.ledger import PlanState, plan_states
from vfeat.tables.plans import parse_probe

Level = Literal["clip", "frame", "patch"]
__all__ = ["FeatureSequence", "Level", "SequenceReader", "SequenceRef"]
COLUMNS: dict[Level, str] = {
    "clip": "embedding",
    "frame": "frame_tokens",
    "patch": "patch_tokens",
}


@dataclass(frozen=True)
class FeatureSequence:
    """Features of a clip range of one video.

    Attributes:
        values_LD: float32; zeros where nothing is.
        mask_L: True where a step is there.
        first_clip: clip of step 0.
    """

    values_LD: npt.NDArray[np.float32]
    mask_L: npt.NDArray[np.bool_]
    first_clip: int


class SequenceReader:
    """Sequences of a features dataset at one level.

    Args:
        dataset: what `vfeat.open` gives.
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
        self._open_file: pq.ParquetFile | None = None
        self._held: tuple[str, int, pa.Table] | None = None

    def refs(self) -> Iterator[SequenceRef]:
        """Videos that have rows and wait for none, in plan order."""
        for state in plan_states(self._root):
            yield from _settled(state)

    def width(self) -> int:
        """D of the stored vectors.

        Raises:
            JobError: nothing is committed yet.
        """
        return int(self._vector_type().list_size)

    def steps_per_clip(self) -> int:
        """L of one clip: 1, its frame steps, or all its patch tokens."""
        if self.level == "clip":
            return 1
        schema = self._schema()
        return int(schema.field(COLUMNS[self.level]).type.list_size)

    def read(
        self, ref: SequenceRef, first_clip: int = 0, last_clip: int | None = None
    ) -> FeatureSequence:
        """Clips first_clip..last_clip (inclusive) of a video; only their row groups are read."""
        last = ref.clips - 1 if last_clip is None else last_clip
        count, steps, width = last - first_clip + 1, self.steps_per_clip(), self.width()
        values = np.zeros((count, steps, width), np.float32)
        mask = np.zeros(count, np.bool_)
        for key, first_row, rows in ref.pieces:
            for table in self._rows(key, first_row, rows):
                index = table.column("clip_index").to_numpy()
                inside = (index >= first_clip) & (index <= last)
                if not inside.any():
                    continue
                place = index[inside] - first_clip
                # pyarrow's filter of a sliced, nested fixed-size list takes other rows' values:
                # choose rows in numpy.
                vectors = self._vectors(table).reshape(len(index), steps, width)
                values[place] = vectors[inside]
                mask[place] = True
        return FeatureSequence(
            values.reshape(count * steps, width), np.repeat(mask, steps), first_clip
        )

    def _rows(self, key: str, first: int, rows: int) -> Iterator[pa.Table]:
        """Rows of one file, one row group at a time."""
        file = self._file(key)
        start = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            begin, end = max(first, start), min(first + rows, start + size)
            if begin < end:
                yield self._row_group(key, group).slice(begin - start, end - begin)
            start += size

    def _row_group(self, key: str, group: int) -> pa.Table:
        """The last one is kept: neighbours in a file are read one after the other."""
        if self._held is None or self._held[:2] != (key, group):
            columns = ["clip_index", COLUMNS[self.level]]
            self._held = (key, group, self._file(key).read_row_group(group, columns=columns))
        return self._held[2]

    def _vectors(self, table: pa.Table) -> npt.NDArray[np.float32]:
        values = table.column(COLUMNS[self.level]).combine_chunks()
        while pa.types.is_fixed_size_list(values.type):
            values = values.flatten()
        vectors: npt.NDArray[np.float32] = values.to_numpy(zero_copy_only=False).astype(np.float32)
        return vectors

    def _file(self, key: str) -> pq.ParquetFile:
        if self._open_key != key or self._open_file is None:
            self._open_file = pq.ParquetFile(self._root.open_input(key))
            self._open_key = key
        return self._open_file

    def _schema(self) -> pa.Schema:
        keys = self.dataset.files()
        if not keys:
            raise JobError(f"{self._root.uri} holds no committed rows yet; see `vfeat status`")
        return (
            self._file(keys[0]).schema_arrow
            if self._open_file is None
            else self._open_file.schema_arrow
        )

    def _vector_type(self) -> pa.FixedSizeListType:
        kind = self._schema().field(COLUMNS[self.level]).type
        while pa.types.is_fixed_size_list(kind.value_type):
            kind = kind.value_type
        return kind


def _settled(state: PlanState) -> Iterator[SequenceRef]:
    """Videos of one plan whose every clip is a row, empty or failed."""
    columns = state.units.select(["video_id", "uri", "probe"]).to_pylist()
    shown: set[str] = set()
    for unit in columns:
        video = state.videos.get(unit["video_id"])
        if video is None or unit["video_id"] in shown or not video.rows:
            continue
        shown.add(unit["video_id"])
        probe = parse_probe(unit["probe"]) if unit["probe"] else None
        settled = sum(outcome.planned for outcome in video.outcomes)
        clips = max(o.last_clip for o in video.outcomes) + 1
        clips = max(clips, probe.n_clips if probe else 0)
        if settled >= clips:
            yield SequenceRef(
                unit["video_id"], unit["uri"], clips, video.rows,
                probe.duration_s if probe else None, tuple(video.pieces),
            )  # fmt: skip
