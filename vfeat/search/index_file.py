"""The file of an index: arrays one behind another, and a description of them at the end.

    "vfeat.ix" | parts, each at a multiple of 64 bytes | description | CRC-32, length | "vfeat.ix"

All numbers are little-endian; the description is JSON. The rows are those of the dataset, in the
order of the lists that they belong to: list l has the rows starts[l] to starts[l + 1]. A place is
the number of a features file, a row in it, the number of its video, and a checksum of these and of
the stored vector. A code c is (c - 128) / 127 of the row's reach times the dimension's spread away
from the list's centroid.
Legend: L lists, N rows, V videos, D width of the embeddings, P 4 numbers, I 16 bytes.
"""

from __future__ import annotations

import json
import struct
import threading
import zlib
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from vfeat.errors import StorageError
from vfeat.storage.root import Root

MAGIC = b"vfeat.ix"
VERSION = 1
ALIGNED = 64
_GAP_BYTES = 512 << 10
_TAIL = struct.Struct("<II8s")
# type and shape of each part, by the letters of the legend; `vectors` are as the dataset has them
PARTS: dict[str, tuple[str, str]] = {
    "centroids": ("float32", "LD"),
    "spread": ("float32", "D"),
    "starts": ("int64", "L+"),
    "videos": ("uint8", "VI"),
    "places": ("uint32", "NP"),
    "reach": ("float32", "N"),
    "codes": ("uint8", "ND"),
    "vectors": ("", "ND"),
}
_READ_WHOLE = ("centroids", "spread", "starts", "videos")  # with a checksum each


class IndexDamaged(StorageError):
    """An index is not as it was written, or disagrees with its dataset: exact search needs none."""


@dataclass(frozen=True)
class IndexedFile:
    """A features file whose rows the index holds.

    Attributes:
        key: its key under the dataset root.
        size_bytes: its size when it was read; another one now is another file.
        rows: number of rows.
    """

    key: str
    size_bytes: int
    rows: int


@dataclass(frozen=True)
class About:
    """Description of an index.

    Attributes:
        fingerprint: of the recipe of the dataset.
        width: of an embedding, D.
        dtype: of the stored vectors, float16 or float32.
        rows: N.
        lists: L.
        videos: V.
        trained_rows: rows of the dataset when the lists were made.
        probes: lists that a search looks through.
        recall: share of the exact ten nearest that it finds, measured; None before.
        queries: clips of the dataset that this was measured with.
        files: the features files, by their numbers.
        offsets: first byte of each part.
        checks: CRC-32 of the parts that are read whole.
    """

    fingerprint: str
    width: int
    dtype: str
    rows: int
    lists: int
    videos: int
    trained_rows: int
    probes: int
    recall: float | None
    queries: int
    files: tuple[IndexedFile, ...]
    offsets: dict[str, int]
    checks: dict[str, int]
    version: int = VERSION

    def shape(self, part: str) -> tuple[int, ...]:
        """Return the shape of a part."""
        sizes = {
            "L": self.lists,
            "D": self.width,
            "N": self.rows,
            "V": self.videos,
            "I": 16,
            "P": 4,
        }
        letters = PARTS[part][1]
        if letters == "L+":
            return (self.lists + 1,)
        return tuple(sizes[letter] for letter in letters)

    def kind(self, part: str) -> np.dtype[Any]:
        """Return the type of the numbers of a part."""
        return np.dtype(PARTS[part][0] or self.dtype).newbyteorder("<")

    def size_bytes(self, part: str) -> int:
        """Return the size of a part."""
        return int(np.prod(self.shape(part), dtype=np.int64)) * self.kind(part).itemsize

    def placed(self) -> About:
        """Return it with the offsets of its parts."""
        place, offsets = ALIGNED, {}
        for part in PARTS:
            offsets[part] = place
            place += -(-self.size_bytes(part) // ALIGNED) * ALIGNED
        return replace(self, offsets=offsets)

    @property
    def end(self) -> int:
        """First byte after the parts."""
        last = max(self.offsets, key=lambda part: self.offsets[part])
        return self.offsets[last] + -(-self.size_bytes(last) // ALIGNED) * ALIGNED


class IndexFile:
    """An open index; a local one is mapped into memory, a remote one is read by ranges.

    Attributes:
        about: its description.
        name: public address, for messages.
    """

    def __init__(self, source: npt.NDArray[np.uint8] | BinaryIO, name: str) -> None:
        """Read the description.

        Raises:
            IndexDamaged: the bytes are not an index, or of a later version.
        """
        self.name = name
        self._source = source
        self._reading = threading.Lock()
        self.about = self._read_about()

    def part(self, name: str, first: int = 0, end: int | None = None) -> npt.NDArray[Any]:
        """Return rows of a part.

        Raises:
            IndexDamaged: the file ends before them, or their checksum is another.
        """
        about = self.about
        shape, kind = about.shape(name), about.kind(name)
        end = shape[0] if end is None else end
        row_bytes = kind.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        data = self._bytes(about.offsets[name] + first * row_bytes, (end - first) * row_bytes)
        whole = name in _READ_WHOLE
        if whole and zlib.crc32(data.data) != about.checks[name]:
            raise damaged(self.name, f"the checksum of {name} is another")
        return data.view(kind).reshape(end - first, *shape[1:])

    def rows(self, name: str, rows_R: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return some rows of a part; `rows_R` must rise."""
        if isinstance(self._source, np.ndarray):
            found: npt.NDArray[Any] = self.part(name)[rows_R]
            return found
        row_bytes = self.about.size_bytes(name) // max(1, self.about.rows)
        # A request costs more than the bytes between two rows that are near to each other.
        breaks = np.flatnonzero(np.diff(rows_R) * row_bytes > _GAP_BYTES) + 1
        parts = [self.part(name, 0, 0)]
        for run in np.split(rows_R, breaks):
            if len(run):
                stretch = self.part(name, int(run[0]), int(run[-1]) + 1)
                parts.append(stretch[run - run[0]])
        return np.concatenate(parts)

    @cached_property
    def centroids_LD(self) -> npt.NDArray[np.float32]:
        """Mean direction of each list."""
        return self.part("centroids")

    @cached_property
    def spread_D(self) -> npt.NDArray[np.float32]:
        """How far vectors usually lie from their centroid in each dimension."""
        return self.part("spread")

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """First row of each list, and the number of rows."""
        starts = self.part("starts")
        if starts[0] != 0 or starts[-1] != self.about.rows or (np.diff(starts) < 0).any():
            raise damaged(self.name, "its lists do not follow each other")
        return starts

    @cached_property
    def video_ids(self) -> list[str]:
        """The videos, as hex digits."""
        return [row.tobytes().hex() for row in self.part("videos")]

    def _read_about(self) -> About:
        size = self._size()
        if size < _TAIL.size + len(MAGIC):
            raise damaged(self.name, f"it has {size} bytes")
        check, length, magic = _TAIL.unpack(self._bytes(size - _TAIL.size, _TAIL.size).tobytes())
        if magic != MAGIC or length > size - _TAIL.size - len(MAGIC):
            raise damaged(self.name, "its end is not that of an index")
        text = self._bytes(size - _TAIL.size - length, length).tobytes()
        if zlib.crc32(text) != check:
            raise damaged(self.name, "the checksum of its description is another")
        try:
            fields = json.loads(text)
            if fields["version"] != VERSION:
                raise IndexDamaged(
                    f"{self.name} is an index of version {fields['version']}, this vfeat reads "
                    f"version {VERSION}: run `vfeat index` with --rebuild"
                )
            fields["files"] = tuple(IndexedFile(**file) for file in fields["files"])
            about = About(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(self.name, f"its description cannot be read ({error!r:.100})") from None
        if about != about.placed() or about.end + length + _TAIL.size != size:
            raise damaged(self.name, "its parts do not stand where they should")
        return about

    def _size(self) -> int:
        if isinstance(self._source, np.ndarray):
            return len(self._source)
        with self._reading:
            return self._source.seek(0, 2)

    def _bytes(self, first: int, count: int) -> npt.NDArray[np.uint8]:
        if isinstance(self._source, np.ndarray):
            found = self._source[first : first + count]
        else:
            with self._reading:  # one place in the file for all threads
                self._source.seek(first)
                found = np.frombuffer(self._source.read(count), np.uint8)
        if len(found) != count:
            raise damaged(self.name, f"it ends before byte {first + count}")
        return found


def open_index(root: Root, key: str) -> IndexFile:
    """Open an index of a dataset.

    Raises:
        MissingObject: it is not there.
        IndexDamaged: it cannot be read.
    """
    path = root.local_path(key)
    if path is None or not path.exists():  # the root has the sentence for what is missing
        return IndexFile(root.open_input(key), root.url(key))
    return open_local(path, root.url(key))


def open_local(path: str | Path, name: str) -> IndexFile:
    """Open an index in a file of this machine.

    Raises:
        IndexDamaged: it cannot be read.
    """
    try:
        mapped = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise damaged(name, str(error)) from None
    return IndexFile(mapped.view(np.ndarray), name)


def finish(path: str | Path, about: About) -> None:
    """Write the description behind the parts, in place of an earlier one."""
    text = json.dumps(asdict(about)).encode()
    with open(path, "r+b") as file:
        file.write(MAGIC)
        file.truncate(about.end)
        file.seek(about.end)
        file.write(text + _TAIL.pack(zlib.crc32(text), len(text), MAGIC))


def whole_checks(parts: dict[str, npt.NDArray[Any]]) -> dict[str, int]:
    """Return the checksums of the parts that are read whole."""
    return {name: zlib.crc32(np.ascontiguousarray(parts[name]).data) for name in _READ_WHOLE}


def row_checks(
    vectors_ND: npt.NDArray[Any], places_N3: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    """Return the checksum of each row: of its vector, and of its file, row and video."""
    vectors, places = np.ascontiguousarray(vectors_ND), np.ascontiguousarray(places_N3)
    found = [
        zlib.crc32(place, zlib.crc32(vector))
        for vector, place in zip(vectors.view(np.uint8), places.view(np.uint8), strict=True)
    ]
    return np.array(found, np.uint32)


def checked_places(
    index: IndexFile, rows_R: npt.NDArray[np.int64], vectors_RD: npt.NDArray[Any]
) -> npt.NDArray[np.uint32]:
    """Return file, row and video of some rows.

    Args:
        vectors_RD: what the index holds for these rows.

    Raises:
        IndexDamaged: one of them is not as it was written.
    """
    places = index.rows("places", rows_R)
    if (row_checks(vectors_RD, places[:, :3]) != places[:, 3]).any():
        raise damaged(index.name, "the checksum of a row is another")
    return np.array(places[:, :3])


def damaged(name: str, reason: str) -> IndexDamaged:
    """Return the error of an index that is not as it was written."""
    return IndexDamaged(f"{name} is not a readable index ({reason}): run `vfeat index` again")
