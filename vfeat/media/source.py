"""Source of a video's bytes: a path that FFmpeg opens itself, or range reads."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol

from vfeat.errors import SourceChanged, StorageError, UnitError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Progress(Protocol):
    """Callback for the position of the work; only a new highest position is progress."""

    def __call__(self, reached: int = 0, /) -> None: ...


def no_progress(reached: int = 0, /) -> None:
    """Ignore progress, where no parent waits."""


@dataclass(frozen=True)
class Source:
    """A video that can be opened several times.

    Attributes:
        uri: as listed; used in messages.
        size_bytes: size, if known.
        path: a local file that holds it, or None for range reads.
        patience_s: seconds of outage that one remote read waits through.
        etag: as listed, if known; whatever has another one is not this video.
    """

    uri: str
    size_bytes: int | None
    path: str | None
    patience_s: float = 30.0
    etag: str | None = None

    @property
    def is_local(self) -> bool:
        """True if the bytes are on this machine."""
        return self.path is not None

    def open(self) -> str | BinaryIO:
        """Return a path for FFmpeg, or a seekable file.

        Raises:
            SourceChanged: it is not the object that was listed; reads may raise it later, too.
            UnitError: `storage`, when the object is not there or cannot be read.
        """
        if self.path is not None:
            self._check_local(self.path)
            return self.path
        from vfeat.storage.source import open_source

        try:
            return open_source(
                self.uri, self.size_bytes, etag=self.etag, patience_s=self.patience_s
            )
        except (StorageError, OSError) as error:
            raise storage_failure(self.uri, error) from error

    def open_file(self) -> BinaryIO:
        """Return a seekable file.

        Raises:
            SourceChanged, UnitError: as `open`.
        """
        opened = self.open()
        return open(opened, "rb") if isinstance(opened, str) else opened

    def check_unchanged(self) -> None:
        """Compare the object with its listing once more, where the reads themselves did not.

        To be called when a unit ends, before anything of it counts.

        Raises:
            SourceChanged: it is not the object that was listed.
            UnitError: `storage`, when it is not there any more or cannot be asked for.
        """
        if self.etag is None:
            return
        from vfeat.storage.source import check_unchanged

        try:
            check_unchanged(self.uri, self.size_bytes, self.etag, patience_s=self.patience_s)
        except (StorageError, OSError) as error:
            raise storage_failure(self.uri, error) from error

    def glance(self, size_bytes: int, first_byte: int = 0) -> bytes:
        """Read some bytes for a message or a hint; empty where they cannot be read."""
        with suppress(Exception), self.open_file() as file:
            file.seek(first_byte)
            return file.read(size_bytes)
        return b""

    def _check_local(self, path: str) -> None:
        # FFmpeg reports these as it reports damage; here they keep their own class.
        try:
            if os.path.isdir(path):
                raise IsADirectoryError(21, "is a folder, not a video", path)
            with open(path, "rb"):
                pass
        except OSError as error:
            raise storage_failure(self.uri, error) from error
        self.check_unchanged()


def storage_failure(uri: str, error: Exception) -> UnitError:
    """Build the error of a file whose bytes cannot be read, or are not those of its listing."""
    from vfeat.storage.failures import ObjectChanged

    if isinstance(error, ObjectChanged):
        return SourceChanged("storage", str(error))
    if isinstance(error, StorageError):
        return UnitError("storage", str(error))
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UnitError("storage", f"{uri}: cannot be read: {reason or type(error).__name__}")


def locate(
    uri: str, size_bytes: int | None, patience_s: float = 30.0, etag: str | None = None
) -> Source:
    """Build the source of a URI, without accessing it.

    Args:
        uri: an absolute path, or any URI that the storage layer opens.
        size_bytes: size of the object, if known.
        patience_s: seconds of outage that one remote read waits through.
        etag: as listed, if known: any other content raises SourceChanged.
    """
    from vfeat.storage.uris import is_local, local_path

    path = local_path(uri) if is_local(uri) else None
    return Source(uri, size_bytes, path, patience_s, etag)


@contextmanager
def spooled(source: Source, progress: Progress) -> Iterator[Source]:
    """Provide the same video as a local copy without a name, which vanishes with this process.

    Args:
        source: a remote video; it is read once, by one request.
        progress: called with the bytes copied so far.

    Raises:
        SourceChanged: it is not the object that was listed.
        UnitError: `storage`.
    """
    from vfeat.storage.temporary import nameless_file

    with nameless_file("spool") as (copy, path):
        _download(source, copy, progress)
        yield Source(source.uri, source.size_bytes, path, source.patience_s)


def _download(source: Source, copy: IO[bytes], progress: Progress) -> None:
    from vfeat.storage.source import stream_object

    blocks = stream_object(
        source.uri, source.size_bytes, etag=source.etag, patience_s=source.patience_s
    )
    try:
        for block in blocks:
            copy.write(block)
            progress(copy.tell())
        copy.flush()
    except (StorageError, OSError) as error:
        raise storage_failure(source.uri, error) from error
