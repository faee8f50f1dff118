"""Objects of remote stores, of which any range of bytes can be asked for.

Every answer is compared with the size and etag that the object was listed with, before a byte of
it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from vfeat.addresses import public
from vfeat.errors import StorageError
from vfeat.storage.etags import is_same_object
from vfeat.storage.failures import ObjectChanged, answer_of
from vfeat.storage.remote import connect
from vfeat.storage.uris import is_s3, is_web, split_s3

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_UNSATISFIABLE = 416
_CHANGED = 412


class Body(Protocol):
    """The bytes of one answer, in order."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; empty at the end."""
        ...

    def close(self) -> None: ...


class RemoteObject:
    """One object of a remote store.

    Attributes:
        uri: as listed.
        size_bytes: None until the store has given it.
    """

    def __init__(self, uri: str, size_bytes: int | None, etag: str | None) -> None:
        """Name an object; nothing is asked of its store.

        Args:
            uri: address of the object.
            size_bytes: size as listed, if known.
            etag: as listed, if known; otherwise that of the first answer holds for all others.
        """
        self.uri = uri
        self.size_bytes = size_bytes
        self._etag = etag.strip('"') or None if etag else None  # lists may quote it, as stores do

    def begin(self, first: int, end: int | None) -> Body:
        """Ask for bytes first..end-1, or for all from `first` on.

        Raises:
            ObjectChanged: the object is not the listed one.
            Exception: whatever the store's client raises.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release what is open."""

    def _check_size(self, size_bytes: int | None) -> None:
        if self.size_bytes is None:
            self.size_bytes = size_bytes
        elif size_bytes is not None and size_bytes != self.size_bytes:
            raise changed(self.uri, f"{self.size_bytes:,} bytes", f"{size_bytes:,}")

    def _range(self, first: int, end: int | None) -> str | None:
        """Return the range as in HTTP; None for the whole object."""
        if first == 0 and end in (None, self.size_bytes):
            return None
        return f"bytes={first}-{'' if end is None else end - 1}"


class S3Object(RemoteObject):
    """An object of an S3 store."""

    _has_conditions = True

    def begin(self, first: int, end: int | None) -> Body:
        return self._ask(self._range(first, end), first)

    def begin_tail(self, size_bytes: int) -> Body:
        """Ask for the last bytes of an object whose size need not be known; all of a smaller one.

        Raises:
            Exception: as `begin`.
        """
        return self._ask(f"bytes=-{size_bytes}", 0)

    def _ask(self, wanted: str | None, first: int) -> Body:
        fs, _ = connect(self.uri)
        bucket, key = split_s3(self.uri)
        asked = {"Bucket": bucket, "Key": key}
        if wanted is not None:
            asked["Range"] = wanted
        if self._etag and self._has_conditions:
            asked["IfMatch"] = f'"{self._etag}"'
        try:
            answer = fs.call_s3("get_object", **asked)
        except Exception as error:
            return self._refused(error, wanted, first)
        body: Body = answer["Body"]
        if fs.async_impl:
            body = _LoopBody(fs.loop, answer["Body"].read, answer["Body"].close)
        try:
            self._check(answer)
        except BaseException:
            body.close()
            raise
        return body

    def _check(self, answer: dict[str, Any]) -> None:
        _, total = _content_range(answer.get("ContentRange"))
        self._check_size(answer.get("ContentLength") if total is None else total)
        etag = str(answer.get("ETag", "")).strip('"')
        if etag and self._etag and etag != self._etag:
            raise changed(self.uri, f"etag {self._etag}", etag)
        self._etag = self._etag or etag or None

    def _refused(self, error: Exception, wanted: str | None, first: int) -> Body:
        answer = answer_of(error)
        status = 0 if answer is None else answer.status
        if status == _CHANGED:
            raise changed(self.uri, f"etag {self._etag}", "another") from error
        if status == _UNSATISFIABLE:
            return self._beyond(first, error)
        if status == 501 and self._has_conditions:
            self._has_conditions = False  # the etags of the answers are compared all the same
            return self._ask(wanted, first)
        raise error

    def _beyond(self, first: int, error: Exception) -> Body:
        if first == 0 and not self.size_bytes:  # no range of an empty object can be asked for
            self.size_bytes = 0
            return _Nothing()
        if self.size_bytes is not None and first < self.size_bytes:
            raise changed(self.uri, f"{self.size_bytes:,} bytes", "fewer") from error
        raise error


class WebObject(RemoteObject):
    """A file of a web server."""

    def begin(self, first: int, end: int | None) -> Body:
        import fsspec.asyn

        fs, url = connect(self.uri)
        headers = {"Accept-Encoding": "identity"}
        if wanted := self._range(first, end):
            headers["Range"] = wanted

        async def ask() -> Any:
            session = await fs.set_session()
            return await session.get(fs.encode_url(url), headers=headers)

        answer = fsspec.asyn.sync(fs.loop, ask)
        body = _LoopBody(fs.loop, answer.content.read, answer.close)
        try:
            if answer.status == _UNSATISFIABLE and first == 0 and not self.size_bytes:
                self.size_bytes = 0
                body.close()
                return _Nothing()
            if answer.status == _UNSATISFIABLE and self.size_bytes is not None:
                raise changed(self.uri, f"{self.size_bytes:,} bytes", "fewer")
            fs._raise_not_found_for_status(answer, url)
            self._check(answer, first)
        except BaseException:
            body.close()
            raise
        return body

    def _check(self, answer: Any, first: int) -> None:
        headers = answer.headers
        begins, total = _content_range(headers.get("Content-Range"))
        if answer.status != 206:
            begins, total = 0, None
            if headers.get("Content-Encoding", "identity") == "identity":
                total = int(headers["Content-Length"]) if "Content-Length" in headers else None
        self._check_size(total)
        if self._etag is None:
            self._etag = str(headers.get("ETag", "")).strip('"') or None
        elif not is_same_object(self._etag, self.size_bytes or 0, headers):
            now = headers.get("ETag") or headers.get("Last-Modified")
            raise changed(self.uri, f"etag {self._etag}", str(now))
        if begins != first:
            raise StorageError(
                f"{public(self.uri)}: its server gives whole files only, and this one is read in "
                "parts: download it first, or raise spool_bytes above its size"
            )


class OtherObject(RemoteObject):
    """An object of any other store that fsspec reaches; compared when it is opened."""

    _file: Any = None

    def begin(self, first: int, end: int | None) -> Body:
        if self._file is None:
            self._file = self._opened()
        file = self._file
        file.seek(first)

        def read(size: int) -> bytes:
            left = size if end is None else min(size, end - file.tell())
            try:
                return bytes(file.read(left))
            except Exception:
                self.close()  # the next attempt opens it anew
                raise

        return _Reading(read)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(Exception):
                file.close()

    def check(self) -> None:
        """Compare the object with the store's present answer.

        Raises:
            ObjectChanged: it is not the listed one.
        """
        fs, path = connect(self.uri)
        fs.invalidate_cache()
        self._compare(fs.info(path))

    def _opened(self) -> Any:
        fs, path = connect(self.uri)
        file = fs.open(path, "rb", cache_type="none")
        try:
            info = getattr(file, "details", None)
            self._compare(info if isinstance(info, dict) and "size" in info else fs.info(path))
            if self.size_bytes is None:
                self.size_bytes = int(file.seek(0, 2))
        except BaseException:
            file.close()
            raise
        return file

    def _compare(self, info: dict[str, Any]) -> None:
        size = info.get("size")
        self._check_size(None if size is None else int(size))
        if self._etag and not is_same_object(self._etag, self.size_bytes or 0, info):
            raise changed(self.uri, f"etag {self._etag}", "another")


def remote_object(uri: str, size_bytes: int | None, etag: str | None) -> RemoteObject:
    """Name the object of a remote URI; nothing is asked of its store."""
    kind = S3Object if is_s3(uri) else WebObject if is_web(uri) else OtherObject
    return kind(uri, size_bytes, etag)


class _LoopBody:
    """Body that is read on fsspec's loop."""

    def __init__(self, loop: Any, read: Callable[[int], Any], close: Callable[[], Any]) -> None:
        self._loop, self._read, self._close = loop, read, close

    def read(self, size: int, /) -> bytes:
        import fsspec.asyn

        return bytes(fsspec.asyn.sync(self._loop, self._read, size))

    def close(self) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._close)


class _Reading:
    """Body over a function that reads."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.read = read

    def close(self) -> None:
        """Leave the file open for the next range."""


class _Nothing:
    def read(self, size: int, /) -> bytes:
        return b""

    def close(self) -> None:
        """Do nothing."""


def changed(uri: str, was: str, now: str) -> ObjectChanged:
    """Build the error of an object that is not the listed one."""
    return ObjectChanged(f"{public(uri)} has changed since it was listed ({was} then, {now} now)")


def _content_range(value: str | None) -> tuple[int | None, int | None]:
    """Return first byte and total size; None for what is not given."""
    found = _CONTENT_RANGE.match(value or "")
    if found is None:
        return None, None
    return (
        None if found[1] is None else int(found[1]),
        None if found[2] == "*" else int(found[2]),
    )
