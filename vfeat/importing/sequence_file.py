"""Files that hold sequences of feature vectors, whatever their format.

Shape legend: L steps of a sequence, D width of a vector.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from vfeat.errors import UnitError, VfeatError
from vfeat.job.kinds import load
from vfeat.storage.source import open_source

_FORMATS = {
    ".npy": "vfeat.importing.npy_file:NpyFile",
    ".npz": "vfeat.importing.npz_file:NpzFile",
    ".h5": "vfeat.importing.hdf5_file:Hdf5File",
    ".hdf5": "vfeat.importing.hdf5_file:Hdf5File",
    ".parquet": "vfeat.importing.parquet_rows:ParquetRows",
}
SUFFIXES = tuple(_FORMATS)
_NUMBERS = "fiu"  # kinds of numpy types: floating point, signed and unsigned integers


@dataclass(frozen=True)
class Reading:
    """How the files of a command are read.

    Attributes:
        array: name of the array (npz, h5) or of the column (Parquet) with the vectors.
        video_column: column of a Parquet file that names the video of each row.
        transposed: arrays are [D, L].
        max_bytes: larger arrays are refused before they are read.
    """

    array: str | None = None
    video_column: str | None = None
    transposed: bool = False
    max_bytes: int = 4096 << 20

    @property
    def identity(self) -> str:
        """What changes the vectors of a file; empty where all is as by default."""
        return (
            ""
            if self == Reading(max_bytes=self.max_bytes)
            else repr((self.array, self.video_column, self.transposed))
        )


@dataclass(frozen=True)
class ArrayInfo:
    """Shape and type of an array, from its header.

    Attributes:
        shape: as stored.
        dtype: as stored.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def is_sequence(self) -> bool:
        """Whether it has two dimensions of numbers."""
        return len(self.shape) == 2 and self.dtype.kind in _NUMBERS

    @property
    def size_bytes(self) -> int:
        """Bytes of the array in memory."""
        return int(np.prod([int(n) for n in self.shape], dtype=object)) * self.dtype.itemsize

    def steps_and_width(self, reading: Reading) -> tuple[int, int]:
        """Return (L, D)."""
        steps, width = reversed(self.shape) if reading.transposed else self.shape
        return int(steps), int(width)


class SequenceFile(Protocol):
    """One open file; its constructor takes the file and the `Reading`."""

    def sequences(self) -> dict[str, ArrayInfo]:
        """Return the sequences by name; of a file with a single one, by the empty name."""
        ...

    def read(self, name: str) -> npt.NDArray[np.generic]:
        """Read one sequence as stored."""
        ...


def suffix_of(uri: str) -> str:
    """Return the suffix that decides the format, in lower case."""
    return os.path.splitext(uri)[1].lower()


@contextmanager
def opened_sequences(
    uri: str, reading: Reading, size_bytes: int | None = None, etag: str | None = None
) -> Iterator[SequenceFile]:
    """Open a file of any format, pinned to its listing.

    Raises:
        UnitError: it is damaged, or not what its suffix promises.
        StorageError: it cannot be read, or is no longer the file that was listed.
        EnvironmentMissing: the library for its format is not installed.
    """
    kind = load(_FORMATS[suffix_of(uri)])
    with open_source(uri, size_bytes, etag=etag) as file, explained(uri):
        found: SequenceFile = kind(file, reading)
        yield found


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what a parser raises on damaged bytes into one sentence with the file's name."""
    try:
        yield
    except VfeatError:
        raise
    except (Exception, MemoryError) as error:  # parsers of foreign bytes raise anything
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise UnitError(
            "unreadable", f"{uri} is not a readable {suffix_of(uri)} file of features: {told}"
        ) from None


def chosen(found: dict[str, ArrayInfo], array: str | None) -> dict[str, str]:
    """Choose the sequences among the arrays of a container.

    Args:
        found: its arrays by path.
        array: last part of their paths, if the user named one.

    Returns:
        Path of the array of each sequence, by the sequence's name: the path without the named
        part, or the path itself; empty where there is only one.

    Raises:
        ValueError: there is none; the message lists what is there.
    """
    if array is None:
        paths = {path: path for path, info in found.items() if info.is_sequence}
    else:
        paths = {
            path.rpartition("/")[0]: path
            for path, info in found.items()
            if path.rpartition("/")[2] == array
        }
    if not paths:
        wanted = "array of two dimensions" if array is None else f"array named {array!r}"
        listed = ", ".join(f"{path} {info.shape}" for path, info in list(found.items())[:5])
        raise ValueError(f"it has no {wanted}; it holds {listed or 'nothing'}")
    return {"": next(iter(paths.values()))} if len(paths) == 1 else paths


def as_steps(
    array: npt.NDArray[np.generic], reading: Reading, width: int, dtype: npt.DTypeLike
) -> npt.NDArray[np.floating]:
    """Return an array as the vectors of a dataset, [L, D].

    Raises:
        ValueError: it is no sequence of vectors of that width.
    """
    if array.ndim != 2 or array.dtype.kind not in _NUMBERS:
        raise ValueError(
            f"expected numbers in two dimensions, [steps, width], found {array.dtype} {array.shape}"
        )
    steps_LD = array.T if reading.transposed else array
    if steps_LD.shape[1] != width:
        hint = "; without" if reading.transposed else "; with"
        other = f"{hint} --transposed it would fit" if steps_LD.shape[0] == width else ""
        raise ValueError(
            f"expected vectors of width {width} as in the dataset, found "
            f"{steps_LD.shape[0]} of width {steps_LD.shape[1]}{other}"
        )
    if not len(steps_LD):
        raise ValueError("it has no step")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and an error row
        found: npt.NDArray[np.floating] = np.ascontiguousarray(steps_LD, dtype)
    return found


def check_size(info: ArrayInfo, reading: Reading) -> None:
    """Refuse an array that would not fit in memory, by its header.

    Raises:
        UnitError: it is larger than the limit.
    """
    if info.size_bytes > reading.max_bytes:
        raise UnitError(
            "too_large",
            f"an array {info.shape} of {info.dtype} has {info.size_bytes >> 20:,} MiB, more than "
            f"the {reading.max_bytes >> 20:,} of --max-array-megabytes",
        )


def read_header(file: BinaryIO) -> ArrayInfo:
    """Read the header of numpy's format; the file stands behind it afterwards."""
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        reader = np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    return ArrayInfo(shape, dtype)
