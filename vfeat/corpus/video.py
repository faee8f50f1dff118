"""The record of one video, and columns of many."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from vfeat.corpus.identity import MISSING_ETAG, Hashes, identity_of
from vfeat.corpus.ids import Ids

__all__ = ["EXTRA", "LIST_SUFFIXES", "MISSING_ETAG", "Video", "VideoBatch"]

LIST_SUFFIXES = (".csv", ".parquet")
EXTRA = "extra."  # begins the name of a list's further column


@dataclass(frozen=True)
class Video:
    """One video of the corpus.

    Attributes:
        uri: absolute path or public URI: without user information, and on the web without query.
        size_bytes: size of the object; 0 when it could not be found.
        etag: the store's, or size and mtime for a local file.
        extra: further columns of the list that named it.
        problem: why the object cannot be read, if the listing found that out already.
        address: the full address, where the public one is not all of it.
    """

    uri: str
    size_bytes: int
    etag: str
    extra: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    address: str | None = field(default=None, repr=False)

    @property
    def read_from(self) -> str:
        """The address that opens it; not to be stored, logged or shown."""
        return self.address or self.uri

    @property
    def video_id(self) -> str:
        """32 hex digits of the address, without query and user, and etag.

        A changed file is another video. A local file's etag is its size and mtime, so one that was
        only touched is computed again.
        """
        key = f"{identity_of(self.read_from, self.etag)}\0{self.etag}"
        return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class VideoBatch:
    """Some videos of the corpus, column by column.

    Attributes:
        table: video_id, uri, size_bytes, etag, source, problem, address, and `extra.<name>` of the
            further columns of the list that named them. `source` is the source of the command
            without secrets, a local one as absolute path; `problem` is null unless the listing
            found the object unreadable; `address` is null where `uri` is all of it. Batches of
            other sources may have other further columns.
        ids: the video_ids, 16 bytes each.
        names: hashes of what identifies the objects (see `identity_of`), within this process.
    """

    table: pa.Table
    ids: Ids
    names: Hashes

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, mask: Any) -> VideoBatch:
        """Return the rows at which a boolean numpy array is true."""
        return VideoBatch(self.table.filter(pa.array(mask)), self.ids[mask], self.names[mask])

    def videos(self) -> Iterator[Video]:
        """Yield the videos one by one."""
        extras = [name for name in self.table.column_names if name.startswith(EXTRA)]
        names = [name.removeprefix(EXTRA) for name in extras]
        cells = [self.table.column(name).to_pylist() for name in extras]
        rows = zip(*cells, strict=True) if cells else iter([()] * len(self))
        plain = ("uri", "size_bytes", "etag", "problem", "address")
        columns = [self.table.column(name).to_pylist() for name in plain]
        for uri, size, etag, problem, address, extra in zip(*columns, rows, strict=True):
            yield Video(uri, size, etag, dict(zip(names, extra, strict=True)), problem, address)
