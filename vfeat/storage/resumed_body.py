"""Bytes of a remote object in order, taken up again where an answer breaks off."""

from __future__ import annotations

from typing import IO

from vfeat.storage.ranged import Body, RemoteObject
from vfeat.storage.retry import call_with_retries


class BrokenOff(ConnectionError):
    """An answer that ended before the bytes it promised."""


class ResumedBody:
    """Bytes first..end-1 of an object, or all from `first` on, whatever breaks off meanwhile."""

    def __init__(
        self, remote: RemoteObject, first: int, end: int | None, patience_s: float
    ) -> None:
        """Name the bytes.

        Args:
            remote: the object.
            first, end: the range; `end` None for the rest.
            patience_s: seconds of outage that one read waits through.
        """
        self._remote = remote
        self._at = first
        self._end = end
        self._patience_s = patience_s
        self._body: Body | None = None

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, what has arrived; empty at the end.

        Raises:
            StorageError: MissingObject, ObjectChanged, or another that waiting did not mend.
        """
        data = call_with_retries(lambda: self._read_once(size), self._remote.uri, self._patience_s)
        self._at += len(data)
        return data

    def close(self) -> None:
        """End the answer, even in its middle."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def _read_once(self, size: int) -> bytes:
        try:
            if self._body is None:
                if self._end is not None and self._at >= self._end:
                    return b""
                self._body = self._remote.begin(self._at, self._end)
                known = self._remote.size_bytes
                if known is not None:
                    self._end = known if self._end is None else min(self._end, known)
            left = size if self._end is None else min(size, self._end - self._at)
            data = self._body.read(left) if left else b""
            if left and not data and self._end is not None:
                raise BrokenOff(f"the answer ended {self._end - self._at:,} bytes early")
        except BaseException:
            self.close()
            raise
        return data


def copy_through(body: ResumedBody, file: IO[bytes], block_bytes: int = 1 << 20) -> None:
    """Write all bytes of a body into a file."""
    while block := body.read(block_bytes):
        file.write(block)
