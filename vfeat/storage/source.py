"""Reading of one object: opened for seeking, or copied here whole."""

from __future__ import annotations

import os
import uuid
from typing import BinaryIO, cast

from vfeat.storage.failures import explain
from vfeat.storage.remote import RemoteFile, connect
from vfeat.storage.retry import PATIENCE_S, call_with_retries
from vfeat.storage.uris import is_local, local_path

__all__ = ["is_local", "open_source", "spool"]

_BLOCK_BYTES = 256 << 10


def open_source(
    uri: str, size_bytes: int | None = None, *, patience_s: float = PATIENCE_S
) -> BinaryIO:
    """Open a seekable file over any URI; remote ones are read by ranges.

    Args:
        uri: a path or any URI that fsspec supports.
        size_bytes: the size, if known: saves one request to S3.
        patience_s: seconds of outage that a read waits through.

    Raises:
        MissingObject: nothing is there.
        StorageError: it cannot be read; reads may raise it later, too.
    """
    if is_local(uri):
        try:
            return open(local_path(uri), "rb")
        except OSError as error:
            raise explain(error, uri) from error
    file = RemoteFile(uri, size_bytes=size_bytes, block_bytes=_BLOCK_BYTES, patience_s=patience_s)
    return cast(BinaryIO, file)


def spool(uri: str, directory: str | os.PathLike[str], *, patience_s: float = PATIENCE_S) -> str:
    """Copy an object into `directory`; return the path there, which the caller owns and deletes.

    A local object is not copied: a symbolic link to it is made.

    Raises:
        MissingObject: nothing is there.
        StorageError: it cannot be read, or has no room here.
    """
    extension = os.path.splitext(uri)[1]
    safe = extension if extension[1:].isalnum() else ""
    there = os.path.join(directory, uuid.uuid4().hex + safe)
    if is_local(uri):
        path = local_path(uri)
        if not os.path.exists(path):
            raise explain(FileNotFoundError(path), uri)
        os.symlink(path, there)
        return there
    fs, path = connect(uri)
    try:
        call_with_retries(lambda: fs.get_file(path, there), uri, patience_s)
    except BaseException:
        if os.path.lexists(there):
            os.unlink(there)
        raise
    return there
