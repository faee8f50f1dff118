"""A lock on a folder of this machine: one at a time of those who change files there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vfeat.storage.failures import explain


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; others wait, threads of this process too.

    The lock is on the folder itself, so that no further file is left in it. The kernel drops the
    lock of a process that dies.

    Raises:
        StorageError: there is no such folder, or its disk has no locks.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise explain(error, str(folder)) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise explain(error, str(folder)) from error
        yield
    finally:
        os.close(handle)
