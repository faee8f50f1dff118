"""Temporary files and folders in TMPDIR: their names, their locks, and the removal of dead ones."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from vfeat.errors import EnvironmentMissing
from vfeat.storage.locked_names import hold, maker_tag
from vfeat.storage.swept import SweepReport, remove_left_behind

# with a maker's tag; or those of older versions, which are not held while they are in use
_OURS = re.compile(
    r"vfeat-(?:[a-z]+-[0-9a-f]{8}-\d+-[a-z0-9_]{8}|(?:shard|snapshot)-[a-z0-9_]{8})(?:\.[a-z]+)?"
)


@contextmanager
def temporary_file(purpose: str, suffix: str = "") -> Iterator[str]:
    """Provide the path of an empty file, which is removed afterwards.

    Args:
        purpose: a lower-case word for its name.
        suffix: end of its name, from the dot on.
    """
    handle, path = tempfile.mkstemp(prefix=_prefix(purpose), suffix=suffix)
    try:
        hold(handle)
        yield path
    finally:
        with suppress(FileNotFoundError):  # pyarrow removes what it could not write
            os.unlink(path)
        os.close(handle)


class TemporaryFolder(tempfile.TemporaryDirectory[str]):
    """A folder that is removed at the end of a `with`, or by `cleanup`; `name` is its path."""

    def __init__(self, purpose: str) -> None:
        """Make it.

        Args:
            purpose: a lower-case word for its name.
        """
        super().__init__(prefix=_prefix(purpose))
        self._handle: int | None = os.open(self.name, os.O_RDONLY)
        hold(self._handle)

    def cleanup(self) -> None:
        super().cleanup()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


@contextmanager
def nameless_file(purpose: str) -> Iterator[tuple[IO[bytes], str]]:
    """Provide a file that vanishes with this process, and a path that opens it once more.

    Where the system gives no such path, the file has a name after all.
    """
    if os.path.isdir("/proc/self/fd"):
        with tempfile.TemporaryFile(prefix=_prefix(purpose)) as file:
            yield file, f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile(prefix=_prefix(purpose)) as named:
        hold(named.fileno())
        yield named, str(named.name)


def sweep_temporary_folder() -> SweepReport:
    """Remove what dead processes of vfeat have left in TMPDIR; living ones are not touched."""
    folder = tempfile.gettempdir()
    try:
        names = os.listdir(folder)
    except OSError:
        return SweepReport()
    return remove_left_behind(os.path.join(folder, n) for n in names if _OURS.fullmatch(n))


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


def _prefix(purpose: str) -> str:
    return f"vfeat-{purpose}{maker_tag()}"
