"""Finishing a file in a local temporary place and publishing it in one step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

from vfeat.errors import MachineFull
from vfeat.storage.root import Root
from vfeat.storage.temporary import temporary_file
from vfeat.tables.late_writers import create_late, replace_file


def publish_file(
    root: Root,
    key: str,
    write: Callable[[str], None],
    *,
    again: bool = False,
    has_errors: bool = False,
) -> bool:
    """Write a file in a local temporary place and publish it in one step.

    Args:
        has_errors: some of its clips failed; another attempt may have them all.
        again: in place of the file that is there; otherwise that one stands. A marker then shows
            that the index stands for that file no longer, through any crash; the next snapshot
            reads the new one and deletes the marker.
    """
    try:
        with temporary_file("shard", ".parquet") as path:
            write(path)
            if again:
                replace_file(root, key, path)
                return True
            if root.keeps_conditions():
                return root.create_file(key, path)
            return create_late(root, key, path, has_errors=has_errors)
    except OSError as error:
        raise MachineFull(
            f"{key}: its file could not be written under {tempfile.gettempdir()}: {error}; "
            "free some space there or set TMPDIR, then run the same command again"
        ) from error
