"""The record of one video."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

LIST_SUFFIXES = (".csv", ".parquet")
MISSING_ETAG = "missing"  # etag of a list's row whose object could not be found


@dataclass(frozen=True)
class Video:
    """One video of the corpus.

    Attributes:
        uri: absolute path or full URI.
        size_bytes: size of the object; 0 when it could not be found.
        etag: the store's, or size and mtime for a local file.
        extra: further columns of the list that named it.
        problem: why the object cannot be read, if the listing found that out already.
    """

    uri: str
    size_bytes: int
    etag: str
    extra: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    @property
    def video_id(self) -> str:
        """32 hex digits of (uri, etag): a changed file is another video.

        A local file's etag is its size and mtime, so one that was only touched is computed again.
        """
        return hashlib.blake2b(f"{self.uri}\0{self.etag}".encode(), digest_size=16).hexdigest()
