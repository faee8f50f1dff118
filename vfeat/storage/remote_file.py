"""A remote object as a file: pinned to its listing, and read ahead."""

from __future__ import annotations

import io
import tempfile
from typing import Any

from vfeat.storage.ranged import RemoteObject, S3Object, remote_object
from vfeat.storage.read_ahead import FIRST_BYTES, MOST_BYTES, Block, ReadAhead
from vfeat.storage.resumed_body import ResumedBody, copy_through
from vfeat.storage.retry import call_with_retries

_IN_MEMORY_BYTES = 16 << 20


class RemoteFile(ReadAhead):
    """A remote object for reading and seeking; short outages are waited for.

    No byte is asked for before it is read, and no request for anything but bytes is made where the
    size is known. Reads raise MissingObject, ObjectChanged or another StorageError.
    """

    def __init__(
        self,
        uri: str,
        *,
        size_bytes: int | None = None,
        etag: str | None = None,
        patience_s: float,
        from_end: bool = False,
    ) -> None:
        """Open an object; ask for a part of it where its size is unknown.

        Args:
            uri: remote address.
            size_bytes: size as listed, if known.
            etag: as listed, if known: any other content is ObjectChanged.
            patience_s: seconds of outage that a read waits through.
            from_end: what is read first stands at the end, as in Parquet.
        """
        super().__init__(size_bytes or 0)
        self._remote: RemoteObject = remote_object(uri, size_bytes, etag)
        self._patience_s = patience_s
        self._copy: Any = None
        if size_bytes is None:
            by_end = from_end and isinstance(self._remote, S3Object)
            self._size = self._look_at_end(self._remote) if by_end else self._look()

    def fetch(self, first: int, end: int) -> bytes:
        """Return bytes first..end-1 by one request, or several where its answer breaks off."""
        if self._copy is not None:
            self._copy.seek(first)
            data: bytes = self._copy.read(end - first)
            return data
        body = ResumedBody(self._remote, first, end, self._patience_s)
        try:
            return _all_of(body)
        finally:
            body.close()

    def close(self) -> None:
        if not self.closed:
            self._remote.close()
            if self._copy is not None:
                self._copy.close()
        super().close()

    def _look(self) -> int:
        """Read the first block, whose answer holds the size; or all, if it does not."""
        body = ResumedBody(self._remote, 0, FIRST_BYTES, self._patience_s)
        try:
            data = _all_of(body)
            if self._remote.size_bytes is None:  # a web server that makes its answer as it goes
                return self._copied()
        finally:
            body.close()
        self._blocks.append(Block(0, data, 2 * FIRST_BYTES))
        return self._remote.size_bytes

    def _look_at_end(self, remote: RemoteObject) -> int:
        """Read the last block, whose answer holds the size."""
        assert isinstance(remote, S3Object)

        def attempt() -> bytes:
            body = remote.begin_tail(FIRST_BYTES)
            try:
                return b"".join(iter(lambda: body.read(FIRST_BYTES), b""))
            finally:
                body.close()

        data = call_with_retries(attempt, remote.uri, self._patience_s)
        size_bytes = remote.size_bytes or 0
        self._blocks.append(Block(size_bytes - len(data), data, FIRST_BYTES))
        return size_bytes

    def _copied(self) -> int:
        """Copy an object of unknown size; return its size."""
        self._copy = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
        body = ResumedBody(self._remote, 0, None, self._patience_s)
        try:
            copy_through(body, self._copy)
        finally:
            body.close()
        return int(self._copy.seek(0, io.SEEK_END))


def _all_of(body: ResumedBody) -> bytes:
    parts = []
    while part := body.read(MOST_BYTES):
        parts.append(part)
    return b"".join(parts)
