"""Stored vectors that stay in memory between searches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vfeat.search.cosine import Vectors, inverse_lengths


@dataclass(frozen=True)
class KeptFile:
    """Vectors of one file.

    Attributes:
        size_bytes: size of the file that was read.
        vectors_ND: as stored.
        inverse_N: one over the length of each.
        video_ids: video of each row.
    """

    size_bytes: int
    vectors_ND: Vectors
    inverse_N: npt.NDArray[np.float32]
    video_ids: pa.Array


class KeptVectors:
    """Files whose vectors stay in memory, up to a limit; others are read anew by each search.

    Attributes:
        limit_bytes: most that the vectors may take.
        bytes: what they take.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._files: dict[str, KeptFile] = {}

    def get(self, key: str, size_bytes: int) -> KeptFile | None:
        """Return a file that is kept; one of another size was replaced, and is dropped."""
        found = self._files.get(key)
        if found is not None and found.size_bytes != size_bytes:
            self.bytes -= found.vectors_ND.nbytes
            del self._files[key]
            return None
        return found

    def has_room(self, size_bytes: int) -> bool:
        """Return whether vectors of such a size may be kept."""
        return self.bytes + size_bytes <= self.limit_bytes

    def keep(self, key: str, size_bytes: int, vectors_ND: Vectors, video_ids: pa.Array) -> KeptFile:
        """Keep the vectors of a file."""
        kept = KeptFile(size_bytes, vectors_ND, inverse_lengths(vectors_ND), video_ids)
        self._files[key] = kept
        self.bytes += vectors_ND.nbytes
        return kept
