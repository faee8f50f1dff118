"""`.parquet` with one row a step: a column of vectors, and perhaps one that names the video."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vfeat.importing.sequence_file import ArrayInfo, Reading, check_size
from vfeat.tables.parquet import ParquetReader

_VIDEO_COLUMNS = ("uri", "video_id", "video")
_BATCH_ROWS = 16_384


@dataclass(frozen=True)
class _Run:
    """The rows of one video, which stand together."""

    first: int
    rows: int


class ParquetRows:
    """An open Parquet file."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        self._reader = ParquetReader(cast(io.IOBase, file), checked=True)
        self._reading = reading
        self._vectors = self._vector_column()
        self._videos = self._video_column()

    def sequences(self) -> dict[str, ArrayInfo]:
        """Return the videos of the file, in the order of their rows."""
        return {
            name: ArrayInfo((run.rows, self._width), self._item) for name, run in self._runs.items()
        }

    def read(self, name: str) -> npt.NDArray[np.generic]:
        """Read the vectors of a video, [rows, width]."""
        run = self._runs[name]
        if self._width:
            check_size(ArrayInfo((run.rows, self._width), self._item), self._reading)
        parts = [self._matrix(part) for part in self._slices(run)]
        return np.concatenate(parts)

    def _vector_column(self) -> str:
        schema = self._reader.schema
        lists = [field.name for field in schema if _is_vector(field.type)]
        wanted = self._reading.array
        if wanted is not None and wanted not in lists:
            raise ValueError(f"it has no column {wanted!r} of lists of numbers, but {schema.names}")
        if wanted is None and len(lists) != 1:
            raise ValueError(
                f"expected one column of lists of numbers, found {lists or schema.names}; name "
                "it by --array"
            )
        return wanted or lists[0]

    def _video_column(self) -> str | None:
        names = self._reader.schema.names
        wanted = self._reading.video_column
        if wanted is not None and wanted not in names:
            raise ValueError(f"it has no column {wanted!r}; its columns are {names}")
        return wanted or next((name for name in _VIDEO_COLUMNS if name in names), None)

    @cached_property
    def _runs(self) -> dict[str, _Run]:
        total = self._reader.metadata.num_rows
        if self._videos is None:
            return {"": _Run(0, total)} if total else {}
        starts: dict[str, int] = {}
        place, last = 0, None
        for batch in self._reader.batches(_BATCH_ROWS, [self._videos]):
            for name in batch.column(0).to_pylist():
                if name != last:
                    if name in (None, "") or str(name) in starts:
                        raise ValueError(
                            f"row {place + 1}: the rows of {name!r} do not stand together; sort "
                            f"the file by its column {self._videos!r}"
                        )
                    starts[str(name)], last = place, name
                place += 1
        ends = [*list(starts.values())[1:], total]
        return {
            name: _Run(first, end - first)
            for (name, first), end in zip(starts.items(), ends, strict=True)
        }

    @cached_property
    def _width(self) -> int:
        kind = self._reader.schema.field(self._vectors).type
        if pa.types.is_fixed_size_list(kind):
            return int(kind.list_size)
        first = next(self._reader.batches(1, [self._vectors]), None)
        value = None if first is None else first.column(0)[0].as_py()
        return 0 if value is None else len(value)

    @cached_property
    def _item(self) -> np.dtype[np.generic]:
        kind = self._reader.schema.field(self._vectors).type.value_type
        found: np.dtype[np.generic] = np.dtype(kind.to_pandas_dtype())
        return found

    def _slices(self, run: _Run) -> Iterator[pa.ChunkedArray]:
        """Yield the vectors of a run, row group by row group."""
        start = 0
        for group in range(self._reader.metadata.num_row_groups):
            size = self._reader.metadata.row_group(group).num_rows
            begin, end = max(run.first, start), min(run.first + run.rows, start + size)
            if begin < end:
                column = self._group(group)
                yield column.slice(begin - start, end - begin)
            start += size

    def _group(self, group: int) -> pa.ChunkedArray:
        """Read a row group; the last one is kept, since neighbours are read in sequence."""
        if self._held is None or self._held[0] != group:
            table = self._reader.read_row_group(group, [self._vectors])
            self._held = (group, table.column(self._vectors))
        return self._held[1]

    _held: tuple[int, pa.ChunkedArray] | None = None

    def _matrix(self, column: pa.ChunkedArray) -> npt.NDArray[np.generic]:
        lists = column.combine_chunks()
        values = lists.flatten()
        rows, width = len(lists), self._width
        if lists.null_count or values.null_count or len(values) != rows * width:
            raise ValueError(f"column {self._vectors!r} holds nulls, or lists of several lengths")
        if not pa.types.is_fixed_size_list(lists.type) and not _are_equal(lists, width):
            raise ValueError(f"column {self._vectors!r} holds lists of several lengths")
        found: npt.NDArray[np.generic] = values.to_numpy(zero_copy_only=False)
        return found.reshape(rows, width)


def _is_vector(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_list(kind) for is_list in lists):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _are_equal(lists: pa.Array, width: int) -> bool:
    lengths = np.diff(lists.offsets.to_numpy())
    return bool((lengths == width).all())
