"""The video of one task as its parent reads it for the child: pinned, bounded, and on record."""

from __future__ import annotations

import errno
import os
import socket
import stat
import traceback
from collections.abc import Callable
from contextlib import suppress

from vfeat.errors import SourceChanged, StorageError, UnitError, VfeatError
from vfeat.media.children.feed_protocol import MOST_BYTES
from vfeat.media.children.task import DecodeTask, Task
from vfeat.media.source import Source, locate, spooled, storage_failure
from vfeat.storage.remote_file import RemoteFile

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
# Decoding reads a file several times at most, in pieces of at least this size on average.
_PASSES, _PIECE_BYTES = 16, 4096
_TRACEBACK_CHARS = 1500
_BASE_BYTES, _BASE_REQUESTS = 1 << 30, 10_000


class Refused(Exception):
    """A request that no honest child makes."""


class Served:
    """One task's video; the methods raise UnitError, and Refused for what must not be asked.

    Attributes:
        failure: last failure to read it.
        changed: it is not the object that was listed.
        no_room: why this machine could not take a copy or open a file.
        checked: it was compared with its listing after it was read.
    """

    def __init__(self, task: Task, patience_s: float, spool_bytes: int) -> None:
        """Name the video; nothing is opened."""
        etag = task.etag if isinstance(task, DecodeTask) else None
        self._source = locate(task.uri, task.size_bytes, patience_s, etag)
        self._spool_bytes = spool_bytes
        self._file: RemoteFile | None = None
        self._bytes_left, self._requests_left = _BASE_BYTES, _BASE_REQUESTS
        self._allow(max(0, task.size_bytes or 0))
        self.failure: UnitError | None = None
        self.changed = False
        self.no_room: str | None = None
        self.checked = False

    @property
    def is_local(self) -> bool:
        """True if the bytes are on this machine."""
        return self._source.is_local

    def open(self) -> int:
        """Return a new descriptor of a local file."""
        path = self._source.path
        if path is None:
            raise Refused("a remote object was asked for as a file")
        self._count(0)
        handle = -1
        try:
            # A pipe would wait for its writer.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            _check_kind(os.fstat(handle).st_mode, path)
            self._source.check_unchanged()
            return handle
        except Exception as error:
            if handle >= 0:
                os.close(handle)
            raise self._recorded(error) from error

    def size(self) -> int:
        """Return the size of a remote object; it is asked for where the listing has none."""
        self._count(0)
        return self._opened().size()

    def read(self, first: int, end: int) -> bytes:
        """Return bytes first..end-1 of a remote object, fewer at its end."""
        if not 0 <= end - first <= MOST_BYTES:
            raise Refused(f"a range of more than {MOST_BYTES} bytes, or of fewer than none")
        self._count(end - first)
        file = self._opened()
        try:
            if self._source.size_bytes is not None:
                return file.fetch(first, min(end, file.size()))
            file.seek(first)  # its first block came with its size
            return file.read(end - first)
        except Exception as error:
            raise self._recorded(error) from error

    def copy(self, progressed: Callable[[], None]) -> int:
        """Return a descriptor, for reading, of a local copy without a name.

        Args:
            progressed: called when more of it has come.
        """
        size = self._source.size_bytes
        if self._source.is_local or size is None or size > self._spool_bytes:
            raise Refused("a copy of a video that is none to be copied")
        self._count(size)
        try:
            with spooled(self._source, lambda _reached=0: progressed()) as copy:
                assert copy.path is not None
                return os.open(copy.path, os.O_RDONLY | os.O_CLOEXEC)
        except Exception as error:
            raise self._recorded(error) from error

    def check(self) -> None:
        """Compare the object with its listing, where its reads were not; gone counts as read."""
        self._count(0)
        try:
            self._source.check_unchanged()
        except UnitError as error:
            self.changed |= isinstance(error, SourceChanged)
        self.checked = True

    def close(self) -> None:
        """Release what is open."""
        with suppress(Exception):
            if self._file is not None:
                self._file.close()

    def _opened(self) -> RemoteFile:
        source: Source = self._source
        if source.is_local:
            raise Refused("ranges of a local file")
        if self._file is None:
            try:
                self._file = RemoteFile(
                    source.uri, size_bytes=source.size_bytes, etag=source.etag,
                    patience_s=source.patience_s,
                )  # fmt: skip
            except Exception as error:
                raise self._recorded(error) from error
            if source.size_bytes is None:
                self._allow(self._file.size())
        return self._file

    def _allow(self, size_bytes: int) -> None:
        """Allow what reading a video of some size can need."""
        self._bytes_left += _PASSES * size_bytes
        self._requests_left += _PASSES * size_bytes // _PIECE_BYTES

    def _count(self, size_bytes: int) -> None:
        self._bytes_left -= size_bytes
        self._requests_left -= 1
        if self._bytes_left < 0 or self._requests_left < 0:
            raise Refused("more reading than a video of its size can need")

    def _recorded(self, error: Exception) -> UnitError:
        uri = self._source.uri
        if (reason := out_of_room(error)) is not None:
            self.no_room = f"{uri}: {reason} on {socket.gethostname()}"
        if isinstance(error, UnitError):
            self.failure = error
        elif isinstance(error, StorageError | OSError):
            self.failure = storage_failure(uri, error)
        elif isinstance(error, VfeatError):
            self.failure = UnitError("internal", str(error))
        else:  # fsspec's file systems raise what they like
            trace = "".join(traceback.format_exception(error))[-_TRACEBACK_CHARS:]
            self.failure = UnitError("internal", f"{uri}: {type(error).__name__}: {error}\n{trace}")
        self.changed |= isinstance(self.failure, SourceChanged)
        return self.failure


def out_of_room(error: BaseException | None) -> str | None:
    """Return the system's words where this machine's disk or table of open files is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return os.strerror(error.errno)
        error = error.__cause__
    return None


def _check_kind(mode: int, path: str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a video", path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is neither a file nor a folder", path)
