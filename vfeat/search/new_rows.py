"""Rows that an index is to take up, read once from the dataset into a local file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfeat.errors import JobError
from vfeat.search.cosine import Vectors
from vfeat.search.index_file import IndexedFile
from vfeat.search.stored import as_array
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.parquet import opened, reading

BLOCK_ROWS = 8192


class VideoTable:
    """Numbers of videos, in the order in which they come."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self.numbers = {video_id: number for number, video_id in enumerate(known)}

    def number(self, video_id: str) -> int:
        """Return the number of a video; a new one gets the next."""
        return self.numbers.setdefault(video_id, len(self.numbers))

    def as_bytes(self) -> npt.NDArray[np.uint8]:
        """Return all ids in order, 16 bytes each."""
        data = bytes.fromhex("".join(self.numbers))
        return np.frombuffer(data, np.uint8).reshape(-1, 16)


@dataclass(frozen=True)
class NewRows:
    """Rows in the order of the dataset.

    Attributes:
        files: the files that they stand in, empty ones included.
        places_N3: number of the file, row in it, and number of the video.
        vectors_ND: as stored.
    """

    files: tuple[IndexedFile, ...]
    places_N3: npt.NDArray[np.uint32]
    vectors_ND: Vectors

    def __len__(self) -> int:
        return len(self.places_N3)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield the first row of each block, and the row after its last one."""
        for first in range(0, len(self), BLOCK_ROWS):
            yield first, min(first + BLOCK_ROWS, len(self))


def read_new_rows(
    dataset: FeatureDataset, sizes: dict[str, int], first_file: int, videos: VideoTable, folder: str
) -> NewRows:
    """Read all rows of some files; their vectors go into a file in `folder`.

    Args:
        sizes: size of each file by its key.
        first_file: number of the first of them.
        videos: gets those that it lacks.
    """
    path = os.path.join(folder, "vectors")
    files: list[IndexedFile] = []
    places: list[npt.NDArray[np.uint32]] = []
    kinds: set[tuple[int, str]] = set()
    with open(path, "wb") as stash:
        for number, (key, size_bytes) in enumerate(sizes.items(), first_file):
            row = 0
            with reading(dataset.root, key), opened(dataset.root, key) as reader:
                for batch in reader.batches(BLOCK_ROWS, ["video_id", "embedding"]):
                    vectors = as_array(batch.column(1))
                    kinds.add((vectors.shape[1], vectors.dtype.name))
                    stash.write(np.ascontiguousarray(vectors).data)
                    names = batch.column(0).dictionary_encode()
                    of_name = np.array([videos.number(v) for v in names.dictionary.to_pylist()])
                    place = np.empty((len(batch), 3), np.uint32)
                    place[:, 0] = number
                    place[:, 1] = np.arange(row, row + len(batch))
                    place[:, 2] = of_name[names.indices.to_numpy()]
                    places.append(place)
                    row += len(batch)
            files.append(IndexedFile(key, size_bytes, row))
    if len(kinds) > 1:
        raise JobError(
            f"{dataset.root.uri} holds embeddings of several kinds ({sorted(kinds)}): "
            "`vfeat verify` finds the file that is not as it was written"
        )
    found = np.concatenate([np.empty((0, 3), np.uint32), *places])
    if not kinds:
        return NewRows(tuple(files), found, np.empty((0, 0), np.float32))
    [(width, dtype)] = kinds
    vectors_ND = np.memmap(path, dtype, "r", shape=(len(found), width)).view(np.ndarray)
    return NewRows(tuple(files), found, vectors_ND)
