"""One `.npy` file for each video, and one with its times, as research code reads features."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from vfeat.errors import JobError, StorageError
from vfeat.export.row_source import RowSource
from vfeat.export.selection import SelectedVideo, Selection
from vfeat.storage.failures import MissingObject
from vfeat.storage.root import Root
from vfeat.storage.temporary import temporary_file
from vfeat.tables.kind import FEATURES

TIMES = "times"
INDEX = "videos.csv"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LIKE_OURS = re.compile(r".*-[0-9a-f]{32}")
_LONGEST = 120  # characters of a name; file systems take 255 bytes


class NpyFiles:
    """The videos of an export as `.npy` files.

    Args:
        selection: what is exported; of features.
        root: where to.
        column: the vectors: embedding, frame_tokens or patch_tokens.

    Raises:
        JobError: the dataset has no such column of vectors.
    """

    def __init__(self, selection: Selection, root: Root, column: str) -> None:
        if selection.kind.format != FEATURES.format:
            raise JobError(
                f"{selection.root.uri} holds predictions, whose rows have no common width; "
                "export them with --format parquet, lance or hf"
            )
        self._selection = selection
        self._root = root
        self._column = column
        self._source = RowSource(selection, ["start_s", "end_s", column])
        names = RowSource(selection).schema.names
        if column not in names:
            raise JobError(
                f"{selection.root.uri} has no column {column!r}; its columns are {', '.join(names)}"
            )
        self._item, self._tail = _shape(self._source.schema.field(column).type)
        self._names = _Names(selection)

    def write(self) -> Iterator[int]:
        """Write the videos that are not there; yield the rows done.

        Each file is published in one step, a video's times before its vectors, so that vectors
        without times are never there.
        """
        present = set(self._root.list(""))
        done = 0
        for video in self._selection.videos():
            name = f"{self._names.of(video)}.npy"
            if name not in present:
                self._write(video, name)
            done += video.rows
            yield done
        self._write_index()

    def prove(self) -> Iterator[int]:
        """Compare the header of every file with the dataset; yield the rows compared so far."""
        done = 0
        for video in self._selection.videos():
            name = f"{self._names.of(video)}.npy"
            self._check(name, (video.rows, *self._tail), self._item)
            self._check(f"{TIMES}/{name}", (video.rows, 2), np.dtype(np.float64))
            done += video.rows
            yield done

    def _write(self, video: SelectedVideo, name: str) -> None:
        with temporary_file("export", ".npy") as path, temporary_file("export", ".npy") as times:
            with open(path, "wb") as vectors, open(times, "wb") as windows:
                _write_header(vectors, (video.rows, *self._tail), self._item)
                _write_header(windows, (video.rows, 2), np.dtype(np.float64))
                for table in self._source.rows(video):
                    vectors.write(_bytes_of(table.column(self._column)))
                    pair = [table.column(n).to_numpy() for n in ("start_s", "end_s")]
                    windows.write(np.stack(pair, axis=1).tobytes())
            self._root.create_file(f"{TIMES}/{name}", times)
            self._root.create_file(name, path)

    def _check(self, key: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        remedy = "delete this file and run the same command again"
        try:
            with self._root.open_input(key) as file:
                version = np.lib.format.read_magic(file)
                found, _, kind = np.lib.format.read_array_header_1_0(file)
                begin = file.tell()
                size = file.seek(0, 2) - begin
        except MissingObject:
            raise StorageError(f"{self._root.url(key)} is missing; {remedy}") from None
        except ValueError as error:
            raise StorageError(
                f"{self._root.url(key)} is not a .npy file ({error}); {remedy}"
            ) from None
        expected = int(np.prod(shape)) * dtype.itemsize
        if (version, found, kind, size) != ((1, 0), shape, dtype, expected):
            raise StorageError(
                f"{self._root.url(key)} holds {kind} {found} in {size:,} bytes, expected {dtype} "
                f"{shape}; {remedy}"
            )

    def _write_index(self) -> None:
        with temporary_file("export", ".csv") as path:
            with open(path, "w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file)
                rows.writerow(["file", "video_id", "uri", "rows"])
                for video in self._selection.videos():
                    name = f"{self._names.of(video)}.npy"
                    rows.writerow([name, video.video_id, video.uri, video.rows])
            self._root.create_file(INDEX, path)


class _Names:
    """File names of videos: the end of the uri without its suffix, safe and unique.

    Names that two videos would share, also on disks that ignore case, get the video_id.
    """

    def __init__(self, selection: Selection) -> None:
        counts = Counter(safe_name(video.uri).casefold() for video in selection.videos())
        self._shared = {name for name, count in counts.items() if count > 1}

    def of(self, video: SelectedVideo) -> str:
        name = safe_name(video.uri)
        if name.casefold() in self._shared or _LIKE_OURS.fullmatch(name.casefold()):
            return f"{name}-{video.video_id}"
        return name


def safe_name(uri: str) -> str:
    """Return the end of a uri as a file name: letters, digits, dots, dashes and underscores."""
    base = uri.rstrip("/").rpartition("/")[2]
    stem = base.rpartition(".")[0] or base
    return _UNSAFE.sub("_", stem)[:_LONGEST].strip(".") or "video"


def _shape(kind: pa.DataType) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    """Return item type and shape of a column's vectors.

    Raises:
        JobError: it is no column of vectors.
    """
    sizes: list[int] = []
    while pa.types.is_fixed_size_list(kind):
        sizes.append(kind.list_size)
        kind = kind.value_type
    if not sizes or not pa.types.is_floating(kind):
        raise JobError("--column: expected embedding, frame_tokens or patch_tokens")
    return np.dtype(kind.to_pandas_dtype()), tuple(sizes)


def _bytes_of(column: pa.ChunkedArray) -> bytes:
    values = column.combine_chunks()
    while pa.types.is_fixed_size_list(values.type):
        values = values.flatten()
    return bytes(values.to_numpy(zero_copy_only=False).tobytes())


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
