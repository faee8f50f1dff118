"""A dataset root on a disk of this machine, or on one mounted here."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vfeat.storage.failures import MissingObject, explain
from vfeat.storage.locked_names import hold, maker_tag
from vfeat.storage.swept import SweepReport, remove_left_behind

# errors of file systems without hard links: FAT, exFAT, some FUSE and network disks
_NO_LINKS = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV}
)
_TEMPORARY = re.compile(r"\.tmp-(?:[0-9a-f]{8}-\d+-)?[0-9a-f]{32}")
_LOCK = ".publish.lock"


class LocalRoot:
    """Keys as files below one folder. A file is there whole, or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def url(self, key: str) -> str:
        return str(self.path(key))

    def path(self, key: str) -> Path:
        return self.folder / key if key else self.folder

    def open_input(self, key: str) -> BinaryIO:
        try:
            return self.path(key).open("rb")
        except OSError as error:
            raise explain(error, self.url(key)) from error

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def list(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = {}
        try:
            with os.scandir(self.path(prefix)) as entries:
                for entry in entries:
                    # deleted in between: not there
                    with suppress(FileNotFoundError):
                        if not entry.name.startswith(".") and entry.is_file():
                            found[entry.name] = entry.stat().st_size
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise explain(error, self.url(prefix)) from error
        return dict(sorted(found.items()))

    def create(self, key: str, write: Callable[[BinaryIO], object], size_bytes: int) -> bool:
        """Put a new file in place.

        Args:
            key: path below the root.
            write: writes the content into an open file.
            size_bytes: size of the content, for the message of a full disk.

        Returns:
            False when a file is there already.
        """
        target = self.path(key)
        with self._written(key, write, size_bytes) as temporary:
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                if not _rename_new(temporary, target):
                    return False
            _sync_folder(target.parent)
        return True

    def replace(self, key: str, write: Callable[[BinaryIO], object], size_bytes: int) -> None:
        """Put a file in place of whatever is there; readers see the old or the new one."""
        target = self.path(key)
        with self._written(key, write, size_bytes) as temporary:
            os.replace(temporary, target)
            _sync_folder(target.parent)

    def delete(self, key: str) -> None:
        try:
            self.path(key).unlink(missing_ok=True)
        except OSError as error:
            raise explain(error, self.url(key)) from error

    def delete_many(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    def sweep(self, folders: Iterable[str] | None) -> SweepReport:
        return remove_left_behind(
            os.path.join(folder, name)
            for folder in self._folders(folders)
            for name in _names(folder)
            if _TEMPORARY.fullmatch(name)
        )

    def _folders(self, folders: Iterable[str] | None) -> Iterator[str]:
        if folders is None:
            return (folder for folder, _, _ in os.walk(self.folder))
        return (str(self.path(folder)) for folder in folders)

    @contextmanager
    def _written(
        self, key: str, write: Callable[[BinaryIO], object], size_bytes: int
    ) -> Iterator[Path]:
        """Write a hidden temporary file on the target's disk; remove it afterwards."""
        target = self.path(key)
        temporary = target.parent / f".tmp{maker_tag()}{uuid.uuid4().hex}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                hold(file.fileno())
                write(file)
                file.flush()
                os.fsync(file.fileno())
                yield temporary
        except OSError as error:
            raise explain(error, self.url(key), size_bytes) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _rename_new(temporary: Path, target: Path) -> bool:
    """Rename create-only under a lock on the folder, for disks without hard links.

    The kernel drops the lock of a process that dies. If locks do not reach other hosts, a second
    writer may replace the file, whole, by one with the same rows.
    """
    with (target.parent / _LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return False
        os.rename(temporary, target)
        return True


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, on disks that support it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def copy_from(path: Path) -> Callable[[BinaryIO], object]:
    """Return a writer that copies a finished local file.

    Raises:
        MissingObject: the local file does not exist.
    """
    if not path.is_file():
        raise MissingObject(f"{path} does not exist")

    def write(file: BinaryIO) -> None:
        with path.open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)

    return write
