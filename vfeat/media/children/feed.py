"""Bytes of a video as a child has them: from descriptors and ranges that its parent gives."""

from __future__ import annotations

import io
import os
import socket
import time
from dataclasses import dataclass
from typing import BinaryIO, cast

from vfeat.errors import StorageError
from vfeat.media.children.feed_protocol import ANSWER, MOST_BYTES, REQUEST, Answered, Asked
from vfeat.media.source import Source, storage_failure
from vfeat.storage.failures import ObjectChanged
from vfeat.storage.read_ahead import ReadAhead


@dataclass
class ReadClock:
    """Seconds in which a reader waited for bytes."""

    seconds: float = 0.0


class Feed:
    """The child's end of the second socket; one thread at a time.

    Attributes:
        clock: counts the waits for its parent's answers, and for reading what it has opened.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.clock = ReadClock()

    def open(self, uri: str) -> tuple[int | None, int]:
        """Open the task's video.

        Args:
            uri: for messages.

        Returns:
            A descriptor of a local file and 0; or None and the size of a remote object.

        Raises:
            ObjectChanged, StorageError: as the parent's reading did.
        """
        handle, length = self._ask(uri, Asked.OPEN)
        return handle, length

    def read(self, uri: str, first: int, end: int) -> bytes:
        """Return bytes first..end-1 of a remote object.

        Raises:
            ObjectChanged, StorageError: as the parent's reading did.
        """
        parts = []
        while first < end:
            _, length = self._ask(uri, Asked.RANGE, first, min(end, first + MOST_BYTES))
            if length == 0:
                raise StorageError(f"{uri}: ends at byte {first:,}")
            began_s = time.monotonic()
            parts.append(self._exactly(length))
            self.clock.seconds += time.monotonic() - began_s
            first += length
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def copy(self, uri: str) -> int:
        """Return a descriptor of a local copy of a remote object.

        Raises:
            ObjectChanged, StorageError: as the parent's reading did.
        """
        handle, _ = self._ask(uri, Asked.COPY)
        assert handle is not None
        return handle

    def check(self, uri: str) -> None:
        """Let the parent compare the object with its listing."""
        self._ask(uri, Asked.CHECK)

    def _ask(self, uri: str, asked: Asked, first: int = 0, end: int = 0) -> tuple[int | None, int]:
        began_s = time.monotonic()
        self._socket.sendall(REQUEST.pack(asked, first, end))
        head, handles, _, _ = socket.recv_fds(self._socket, ANSWER.size, 1)
        if not head:
            raise EOFError
        head += self._exactly(ANSWER.size - len(head))
        self.clock.seconds += time.monotonic() - began_s
        state, length = ANSWER.unpack(head)
        if state == Answered.CHANGED:
            raise ObjectChanged(f"{uri} has changed since it was listed")
        if state == Answered.FAILED:
            # The parent has the reason, which may name what a child must not know.
            raise StorageError(f"{uri}: cannot be read")
        return (handles[0] if state == Answered.DESCRIPTOR else None), length

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            if not (got := self._socket.recv_into(view)):
                raise EOFError
            view = view[got:]
        return bytes(data)


class DescriptorFile(io.RawIOBase):
    """A file over a descriptor; several read one descriptor without moving each other."""

    def __init__(self, handle: int, name: str, clock: ReadClock) -> None:
        """Stand at the beginning; whoever opened the descriptor closes it.

        Args:
            name: name of the file; its ending helps FFmpeg to recognise it.
            clock: counts the seconds of reading.
        """
        self.name = name
        self._handle = handle
        self._clock = clock
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            size = max(0, os.fstat(self._handle).st_size - self._position)
        began_s = time.monotonic()
        data = os.pread(self._handle, size, self._position)
        self._clock.seconds += time.monotonic() - began_s
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_CUR:
            offset += self._position
        elif whence == io.SEEK_END:
            offset += os.fstat(self._handle).st_size
        if offset < 0:
            raise ValueError(f"position {offset} is before the beginning")
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class FedFile(ReadAhead):
    """A remote object by ranges that the parent reads."""

    def __init__(self, feed: Feed, uri: str, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._feed = feed
        self._uri = uri

    def fetch(self, first: int, end: int) -> bytes:
        return self._feed.read(self._uri, first, end)


@dataclass(frozen=True)
class GivenSource(Source):
    """A video whose bytes the parent gives.

    Attributes:
        feed: where to ask.
        handle: descriptor of the file or its copy; None for ranges.
    """

    feed: Feed | None = None
    handle: int | None = None

    @property
    def is_local(self) -> bool:
        return self.handle is not None

    def open(self) -> str | BinaryIO:
        if self.handle is not None:
            clock = ReadClock() if self.feed is None else self.feed.clock
            name = os.path.basename(self.uri)
            return cast(BinaryIO, DescriptorFile(self.handle, name, clock))
        assert self.feed is not None
        size = self.size_bytes
        if size is None:
            try:
                _, size = self.feed.open(self.uri)
            except StorageError as error:
                raise storage_failure(self.uri, error) from error
        return cast(BinaryIO, FedFile(self.feed, self.uri, size))

    def check_unchanged(self) -> None:
        """Leave it to the parent, which is asked when the unit ends."""
