"""Proof that an export holds the rows of its dataset: each key once, in order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.errors import StorageError
from vfeat.export.selection import SelectedVideo


class KeyProof:
    """Comparison of exported keys, as they are read back, with the selected videos.

    Args:
        videos: those that are expected, in order.
        index: name of the column that counts within a video.
        where: of the export, for messages.
        remedy: what to do if it differs.
    """

    def __init__(
        self, videos: Iterator[SelectedVideo], index: str, where: str, remedy: str
    ) -> None:
        self._videos = videos
        self._index = index
        self._where = where
        self._remedy = remedy
        self._now: SelectedVideo | None = None
        self._left = 0
        self._last = -1
        self.rows = 0

    def add(self, keys: pa.RecordBatch | pa.Table) -> None:
        """Take the next rows: columns video_id and the index.

        Raises:
            StorageError: they are not the expected ones.
        """
        ids = keys.column("video_id")
        if isinstance(ids, pa.ChunkedArray):
            ids = ids.combine_chunks()
        clips = keys.column(self._index).to_numpy(zero_copy_only=False)
        runs = pc.run_end_encode(ids)
        start = 0
        for name, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            self._add_run(name, clips[start:end])
            start = end
        self.rows += len(clips)

    def close(self) -> None:
        """Check that nothing is missing at the end."""
        missing = self._left or (0 if (left := next(self._videos, None)) is None else left.rows)
        if missing:
            raise self._differs(f"it ends after {self.rows:,} rows, before the last expected one")

    def _add_run(self, video_id: str, clips_N: np.ndarray) -> None:
        if not self._left:
            self._now, self._last = next(self._videos, None), -1
            if self._now is None:
                raise self._differs(f"video {video_id} is not expected there")
            self._left = self._now.rows
        assert self._now is not None
        if video_id != self._now.video_id:
            raise self._differs(
                f"{self._left:,} of {self._now.rows:,} rows of {self._now.uri} are missing"
            )
        if len(clips_N) > self._left:
            raise self._differs(f"{self._now.uri} has more than {self._now.rows:,} rows")
        if (np.diff(np.concatenate([[self._last], clips_N])) <= 0).any():
            raise self._differs(f"the rows of {self._now.uri} are doubled or out of order")
        self._left -= len(clips_N)
        self._last = int(clips_N[-1])

    def _differs(self, found: str) -> StorageError:
        return StorageError(
            f"{self._where} does not hold the rows of the dataset: {found}; {self._remedy}"
        )
