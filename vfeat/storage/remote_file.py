"""A remote object as a file: read ahead a little where reads jump, far where they go on."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from typing import Any

from vfeat.storage.ranged import RemoteObject, S3Object, remote_object
from vfeat.storage.resumed_body import ResumedBody, copy_through
from vfeat.storage.retry import call_with_retries
from vfeat.surroundings import here

_FIRST_BYTES = 256 << 10
_MOST_BYTES = 4 << 20
# A block that took longer is not followed by a larger one: reads must return while the reader's
# own time limit runs.
_QUICK_S = 2.0
# demuxers read two or three places of a file in turn: video, audio, index
_MAX_BLOCKS = 3
_IN_MEMORY_BYTES = 16 << 20


@dataclass
class _Block:
    """A part of the object in memory, and the size of the one that would follow it."""

    first: int
    data: bytes
    next_bytes: int

    @property
    def end(self) -> int:
        return self.first + len(self.data)

    def holds(self, position: int) -> bool:
        return self.first <= position < self.end


class RemoteFile(io.BufferedIOBase):
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
        self._remote: RemoteObject = remote_object(uri, size_bytes, etag)
        self._patience_s = patience_s
        self._position = 0
        self._blocks: list[_Block] = []  # the last used is last
        self._copy: Any = None
        if size_bytes is not None:
            self._size = size_bytes
        elif from_end and isinstance(self._remote, S3Object):
            self._size = self._look_at_end(self._remote)
        else:
            self._size = self._look()

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes from here; all that is left when negative."""
        if self._copy is not None:
            data: bytes = self._copy.read(size)
            return data
        rest = max(self._size - self._position, 0)
        left = rest if size is None or size < 0 else min(size, rest)
        parts: list[bytes] = []
        while left:
            part = self._some(left)
            parts.append(part)
            self._position += len(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer`; return the number of bytes read."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position; nothing is fetched before the next read."""
        if self._copy is not None:
            return int(self._copy.seek(offset, whence))
        base = (0, self._position, self._size)[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position in bytes from the start."""
        return self._position if self._copy is None else int(self._copy.tell())

    def size(self) -> int:
        """Return the size of the whole object in bytes."""
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._blocks = []
            self._remote.close()
            if self._copy is not None:
                self._copy.close()
        super().close()

    def _look(self) -> int:
        """Read the first block, whose answer holds the size; or all, if it does not."""
        body = ResumedBody(self._remote, 0, _FIRST_BYTES, self._patience_s)
        try:
            data = _all_of(body)
            if self._remote.size_bytes is None:  # a web server that makes its answer as it goes
                return self._copied()
        finally:
            body.close()
        self._blocks.append(_Block(0, data, 2 * _FIRST_BYTES))
        return self._remote.size_bytes

    def _look_at_end(self, remote: S3Object) -> int:
        """Read the last block, whose answer holds the size."""

        def attempt() -> bytes:
            body = remote.begin_tail(_FIRST_BYTES)
            try:
                return b"".join(iter(lambda: body.read(_FIRST_BYTES), b""))
            finally:
                body.close()

        data = call_with_retries(attempt, remote.uri, self._patience_s)
        size_bytes = remote.size_bytes or 0
        self._blocks.append(_Block(size_bytes - len(data), data, _FIRST_BYTES))
        return size_bytes

    def _copied(self) -> int:
        """Copy an object of unknown size; return its size."""
        self._copy = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
        body = ResumedBody(self._remote, 0, None, self._patience_s)
        try:
            copy_through(body, self._copy)
        finally:
            body.close()
        size_bytes = int(self._copy.tell())
        self._copy.seek(0)
        return size_bytes

    def _some(self, wanted: int) -> bytes:
        """Return some of the wanted bytes from the position on, at least one."""
        at = self._position
        block = next((block for block in self._blocks if block.holds(at)), None)
        if block is None:
            if wanted > _MOST_BYTES:
                return self._fetch(at, at + wanted)
            block = self._next_block(at, wanted)
        if block is not self._blocks[-1]:
            self._blocks.remove(block)
            self._blocks.append(block)
        return block.data[at - block.first : at - block.first + wanted]

    def _next_block(self, at: int, wanted: int) -> _Block:
        before = next(
            (block for block in self._blocks if 0 <= at - block.end <= block.next_bytes), None
        )
        step = _FIRST_BYTES if before is None else before.next_bytes
        if before is not None:
            self._blocks.remove(before)
        elif len(self._blocks) == _MAX_BLOCKS:
            del self._blocks[0]
        behind = (block.first for block in self._blocks if block.first > at)
        end = min(at + max(step, wanted), self._size, *behind)
        started_s = here().now_s()
        data = self._fetch(at, end)
        quick = here().now_s() - started_s < _QUICK_S
        block = _Block(at, data, min(2 * step, _MOST_BYTES) if quick else step)
        self._blocks.append(block)
        return block

    def _fetch(self, first: int, end: int) -> bytes:
        body = ResumedBody(self._remote, first, end, self._patience_s)
        try:
            return _all_of(body)
        finally:
            body.close()


def _all_of(body: ResumedBody) -> bytes:
    parts = []
    while part := body.read(_MOST_BYTES):
        parts.append(part)
    return b"".join(parts)
