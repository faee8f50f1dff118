"""Files of this machine: one by its name, or all below a folder."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress

from vfeat.errors import JobError, StorageError
from vfeat.storage.etags import local_etag_of
from vfeat.storage.failures import FolderFound, explain
from vfeat.storage.globs import has_magic, is_hidden, literal_parts, matches, may_hold
from vfeat.storage.listed import Listed, OnSkip, Page, SourceListing, one_object
from vfeat.storage.uris import local_path, local_uri

_PAGE_FILES = 1000
_PAGE_S = 0.25  # on a slow disk a page has fewer files

_Above = frozenset[tuple[int, int]]


def find_local(uri: str) -> Listed:
    """Find one file; see `find_object`."""
    path = local_path(uri)
    if "\0" in path:
        raise StorageError(f"{uri!r}: no file's name contains the character NUL")
    try:
        status = os.stat(path)
    except OSError as error:
        raise explain(error, uri) from error
    if stat.S_ISDIR(status.st_mode):
        raise FolderFound(f"{uri} is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{uri} is a pipe, socket or device, not a file")
    return _listed(path, status)


def local_etag(uri: str) -> str | None:
    """Return the etag that a listing would give a local file now; None if it cannot be read."""
    try:
        return local_etag_of(os.stat(local_path(uri)))
    except OSError:
        return None


def list_local(path: str, src: str, on_skip: OnSkip | None) -> SourceListing:
    """List a folder, file or glob; see `list_source`."""
    if os.path.isdir(path):
        return _below(path, (), on_skip)
    if os.path.lexists(path):
        try:
            return one_object(_listed(path, os.stat(path)))
        except OSError as error:
            raise explain(error, src) from error
    if not has_magic(path):
        raise JobError(f"{src}: there is no such file or folder")
    parts = path.split(os.sep)
    plain = literal_parts(parts)
    base = os.sep.join(parts[:plain]) or os.sep
    if not os.path.isdir(base):
        raise JobError(f"{src}: there is no folder {base}")
    return _below(base, tuple(parts[plain:]), on_skip)


def _below(folder: str, pattern: tuple[str, ...], on_skip: OnSkip | None) -> SourceListing:
    base = local_uri(folder).rstrip("/") + "/"
    return SourceListing(_Walk(pattern, on_skip).pages(folder), base, pattern)


class _Walk:
    """Walk over the files of a folder whose path below it matches a pattern, in sorted order."""

    def __init__(self, pattern: tuple[str, ...], on_skip: OnSkip | None) -> None:
        self._pattern = pattern
        self._on_skip = on_skip
        self._hidden = any(map(is_hidden, pattern))
        self._page = Page([], [], [])
        self._since_s = 0.0

    def pages(self, folder: str) -> Iterator[Page]:
        self._since_s = time.monotonic()
        try:
            names, above = _names(folder), frozenset({_identity(os.stat(folder))})
        except OSError as error:
            raise explain(error, folder) from error
        yield from self._walk(folder, (), names, above)
        if self._page.uris:
            yield self._page

    def _walk(
        self, folder: str, parts: tuple[str, ...], names: list[str], above: _Above
    ) -> Iterator[Page]:
        start = folder.rstrip("/") + "/"
        for name in names:
            if is_hidden(name) and not self._hidden:
                continue
            path = start + name
            here = (*parts, name) if self._pattern else ()
            try:
                status = os.stat(path)
            except OSError as error:
                self._skip_name(path, here, error)
                continue
            if stat.S_ISDIR(status.st_mode):
                yield from self._enter(path, here, status, above)
            elif not self._pattern or matches(self._pattern, here):
                self._take(path, status)
            if len(self._page.uris) >= _PAGE_FILES or self._is_late():
                page, self._page = self._page, Page([], [], [])
                self._since_s = time.monotonic()
                yield page

    def _enter(
        self, path: str, here: tuple[str, ...], status: os.stat_result, above: _Above
    ) -> Iterator[Page]:
        identity = _identity(status)
        # else it is a link to a folder that holds it
        if identity not in above and may_hold(self._pattern, here):
            names = self._folder(path)
            yield from self._walk(path, here, names, above | {identity})

    def _take(self, path: str, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            self._page.add(_listed(path, status))
        elif self._on_skip is not None:
            self._on_skip(local_uri(path), "it is a pipe, socket or device, not a file", False)

    def _is_late(self) -> bool:
        # an empty page, too, is a sign of life for the reader
        return time.monotonic() - self._since_s > _PAGE_S

    def _folder(self, path: str) -> list[str]:
        """Return the names in a folder below the source; none of one that cannot be read."""
        try:
            return _names(path)
        except FileNotFoundError:
            return []  # deleted since
        except OSError as error:
            if self._on_skip is None:
                raise explain(error, path) from error
            self._on_skip(local_uri(path), _reason(error), True)
            return []

    def _skip_name(self, path: str, here: tuple[str, ...], error: OSError) -> None:
        if self._on_skip is None or not may_hold(self._pattern, here):
            return
        if isinstance(error, FileNotFoundError):
            with suppress(OSError):
                if stat.S_ISLNK(os.lstat(path).st_mode):
                    self._on_skip(local_uri(path), "it is a link to nothing", False)
            return  # else deleted since
        self._on_skip(local_uri(path), _reason(error), False)


def _names(folder: str) -> list[str]:
    # names alone: entries of a folder of millions of files would fill gigabytes
    with os.scandir(folder) as entries:
        return sorted([entry.name for entry in entries])


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _listed(path: str, status: os.stat_result) -> Listed:
    return Listed(local_uri(path), status.st_size, local_etag_of(status))
