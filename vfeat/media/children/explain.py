"""An exception in a child as its parent is to report it."""

from __future__ import annotations

import traceback

from vfeat.errors import ErrorClass, StorageError, UnitError, VfeatError
from vfeat.media.container import out_of_memory
from vfeat.media.source import storage_failure

_TRACEBACK_CHARS = 1500


def explain(error: Exception, uri: str) -> tuple[ErrorClass, str, bool]:
    """Return error class, message, and whether the child must be replaced."""
    if isinstance(error, UnitError):
        spent = isinstance(error.__cause__, MemoryError)
        return error.error_class, error.message, spent
    if isinstance(error, StorageError):  # from a place where FFmpeg itself was not asked
        failure = storage_failure(uri, error)
        return failure.error_class, failure.message, False
    if isinstance(error, MemoryError):
        failure = out_of_memory(uri)
        return failure.error_class, failure.message, True
    if isinstance(error, VfeatError):
        return "internal", str(error), True
    trace = "".join(traceback.format_exception(error))[-_TRACEBACK_CHARS:]
    return (
        "internal",
        f"{uri}: {type(error).__name__}: {error}\n{trace}",
        True,
    )  # its next attempt is another process's
