"""Finishing a file in a local temporary place and publishing it in one step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

from vfeat.errors import StorageError
from vfeat.storage.root import Root
from vfeat.storage.temporary import temporary_file


def publish_file(
    root: Root, key: str, write: Callable[[str], None], *, again: bool = False
) -> bool:
    """Write a file in a local temporary place and publish it in one step.

    Args:
        again: in place of the file that is there; otherwise that one stands.
    """
    try:
        with temporary_file("shard", ".parquet") as path:
            write(path)
            if again:
                root.replace_file(key, path)
                return True
            return root.create_file(key, path)
    except OSError as error:
        raise StorageError(
            f"{key}: its file could not be written under {tempfile.gettempdir()}: {error}; "
            "free some space there or set TMPDIR, then run the same command again"
        ) from error
