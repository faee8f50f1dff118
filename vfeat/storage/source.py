"""One object to read, opened for seeking."""

from __future__ import annotations

from typing import BinaryIO, cast

from vfeat.storage.failures import explain
from vfeat.storage.remote import RemoteFile
from vfeat.storage.retry import PATIENCE_S
from vfeat.storage.uris import is_local, local_path

__all__ = ["is_local", "open_source"]

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
