"""Finishing a file in a local temporary place and publishing it in one step."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Callable

from vfeat.errors import MachineFull
from vfeat.storage.root import Root
from vfeat.storage.temporary import temporary_file
from vfeat.tables import layout


def publish_file(
    root: Root, key: str, write: Callable[[str], None], *, again: bool = False
) -> bool:
    """Write a file in a local temporary place and publish it in one step.

    Args:
        again: in place of the file that is there; otherwise that one stands. A marker then shows
            that the index stands for that file no longer, through any crash; the next snapshot
            reads the new one and deletes the marker.
    """
    try:
        with temporary_file("shard", ".parquet") as path:
            write(path)
            if not again:
                return root.create_file(key, path)
            marker = layout.marker_key(posixpath.splitext(posixpath.basename(key))[0])
            root.replace_bytes(marker, b"")
            root.replace_file(key, path)
            root.replace_bytes(marker, b"")  # a snapshot in between may have read the old file
            return True
    except OSError as error:
        raise MachineFull(
            f"{key}: its file could not be written under {tempfile.gettempdir()}: {error}; "
            "free some space there or set TMPDIR, then run the same command again"
        ) from error
