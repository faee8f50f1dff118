"""The folder for temporary files: TMPDIR where it is set."""

from __future__ import annotations

import os
import tempfile

from vfeat.errors import EnvironmentMissing


def check_temporary_folder() -> None:
    """Write a temporary file where TMPDIR points.

    Python itself silently takes another folder, and other libraries fail in their own way.

    Raises:
        EnvironmentMissing: TMPDIR is set, and nothing can be written there.
    """
    folder = os.environ.get("TMPDIR")
    if not folder:
        return
    try:
        with tempfile.TemporaryFile(prefix="vfeat-", dir=folder):
            pass
    except OSError as error:
        raise EnvironmentMissing(
            f"TMPDIR is {folder}, and no temporary file can be written there ({error.strerror}): "
            "make that folder, or set TMPDIR to one that exists and is writable"
        ) from None
