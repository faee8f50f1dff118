"""One object to read, pinned to its listing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, cast

from vfeat.storage.etags import is_same_file
from vfeat.storage.failures import explain
from vfeat.storage.ranged import OtherObject, changed, remote_object
from vfeat.storage.remote_file import RemoteFile
from vfeat.storage.resumed_body import ResumedBody
from vfeat.storage.retry import PATIENCE_S, call_with_retries
from vfeat.storage.uris import is_local, local_path

__all__ = ["check_unchanged", "is_local", "open_source", "stream_object"]

_STREAM_BYTES = 1 << 20


def open_source(
    uri: str,
    size_bytes: int | None = None,
    *,
    etag: str | None = None,
    patience_s: float = PATIENCE_S,
) -> BinaryIO:
    """Open a seekable file over any URI; remote ones are read by ranges.

    Args:
        uri: a path or any URI that fsspec supports.
        size_bytes: size as listed, if known: saves a remote file one request, and the file itself
            is asked for at the first read only.
        etag: as listed, if known: any other content is refused.
        patience_s: seconds of outage that a read waits through.

    Raises:
        MissingObject: nothing is there.
        ObjectChanged: it is not the object that was listed.
        StorageError: it cannot be read; reads may raise all three later, too.
    """
    if not is_local(uri):
        file = RemoteFile(uri, size_bytes=size_bytes, etag=etag, patience_s=patience_s)
        return cast(BinaryIO, file)
    try:
        opened = open(local_path(uri), "rb")  # noqa: SIM115
        try:
            _check_status(uri, os.fstat(opened.fileno()), size_bytes, etag)
        except BaseException:
            opened.close()
            raise
    except OSError as error:
        raise explain(error, uri) from error
    return opened


def stream_object(
    uri: str, size_bytes: int | None, *, etag: str | None = None, patience_s: float = PATIENCE_S
) -> Iterator[bytes]:
    """Yield a whole remote object by one request, taken up again where it breaks off.

    Args:
        uri, size_bytes, etag, patience_s: as for `open_source`.

    Raises:
        StorageError: as `open_source` and its reads do.
    """
    remote = remote_object(uri, size_bytes, etag)
    body = ResumedBody(remote, 0, size_bytes, patience_s)
    try:
        while block := body.read(_STREAM_BYTES):
            yield block
    finally:
        body.close()
        remote.close()
    check_unchanged(uri, size_bytes, etag, patience_s=patience_s)


def check_unchanged(
    uri: str, size_bytes: int | None, etag: str | None, *, patience_s: float = PATIENCE_S
) -> None:
    """Compare an object that was read with what it is now, where its answers did not show it.

    One `stat` of a local file and one request to stores other than S3 and the web, of which every
    answer has been compared.

    Raises:
        MissingObject: nothing is there any more.
        ObjectChanged: it is not the object that was listed.
        StorageError: it cannot be asked.
    """
    if size_bytes is None and not etag:
        return
    if is_local(uri):
        try:
            _check_status(uri, os.stat(local_path(uri)), size_bytes, etag)
        except OSError as error:
            raise explain(error, uri) from error
        return
    remote = remote_object(uri, size_bytes, etag)
    if isinstance(remote, OtherObject):
        call_with_retries(remote.check, uri, patience_s)


def _check_status(
    uri: str, status: os.stat_result, size_bytes: int | None, etag: str | None
) -> None:
    if size_bytes is not None and status.st_size != size_bytes:
        raise changed(uri, f"{size_bytes:,} bytes", f"{status.st_size:,}")
    if etag and not is_same_file(etag, status):
        raise changed(uri, f"etag {etag}", f"{status.st_size}-{status.st_mtime_ns}")
