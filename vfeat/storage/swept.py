"""Removal of what dead processes have left behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from vfeat.storage.locked_names import is_left_behind


@dataclass(frozen=True)
class SweepReport:
    """What a sweep removed.

    Attributes:
        files: files, and folders as one each.
        bytes: what they held on the disk.
        uploads: unfinished uploads to a store that were ended.
    """

    files: int = 0
    bytes: int = 0
    uploads: int = 0

    def __add__(self, other: SweepReport) -> SweepReport:
        return SweepReport(
            self.files + other.files, self.bytes + other.bytes, self.uploads + other.uploads
        )


def remove_left_behind(paths: Iterable[str]) -> SweepReport:
    """Remove the temporary files and folders whose maker is gone, except what cannot be removed."""
    files = size_bytes = 0
    for path in paths:
        if not is_left_behind(path):
            continue
        with suppress(OSError):
            held = _held_bytes(path)
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
            files += 1
            size_bytes += held
    return SweepReport(files, size_bytes)


def _held_bytes(path: str) -> int:
    if not os.path.isdir(path):
        status = os.lstat(path)
        # a second name of a published file frees nothing
        return status.st_size if status.st_nlink == 1 else 0
    return sum(
        _held_bytes(os.path.join(folder, name))
        for folder, _, names in os.walk(path)
        for name in names
    )
