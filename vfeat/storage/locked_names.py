"""Names and locks that show whether the maker of a temporary file lives.

A maker's name carries where it runs and its process id, and it holds a lock on what it makes; the
kernel drops the lock of a process that dies.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import os
import platform
import re
import stat
import time
from contextlib import suppress

_NAME = re.compile(r"-([0-9a-f]{8})-(\d+)-")
_STALE_S = 3600.0
_LONG_STALE_S = 86400.0
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF})


def maker_tag() -> str:
    """Return `-place-pid-`, a part of a name that identifies the process that made it."""
    return f"-{_place()}-{os.getpid()}-"


def hold(descriptor: int) -> None:
    """Lock an open file or folder until it is closed, where its disk has locks."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_left_behind(path: str, now_s: float | None = None) -> bool:
    """Return whether the process that made a temporary file or folder is gone.

    Its lock must be free, and its maker a dead process of this place or the last write an hour
    ago; a day, where there are no locks and the maker ran elsewhere.

    Args:
        path: of a file or folder whose name holds a `maker_tag`, or of an older version's.
        now_s: the time, for tests.
    """
    try:
        status = os.lstat(path)
        if status.st_uid != os.geteuid():
            return False
        locked = _is_locked(path, stat.S_ISDIR(status.st_mode))
    except OSError:
        return False  # gone meanwhile, or not ours to open
    if locked:
        return False
    found = _NAME.search(os.path.basename(path))
    if found is not None and found[1] == _place():
        if not _lives(int(found[2])):
            return True
        if locked is None:
            return False
    age_s = (time.time() if now_s is None else now_s) - status.st_mtime
    return age_s > (_STALE_S if locked is False else _LONG_STALE_S)


def _is_locked(path: str, is_folder: bool) -> bool | None:
    """Return whether a living process holds the lock; None where there are no locks."""
    # NFS locks only what is open for writing
    access = os.O_RDONLY if is_folder else os.O_RDWR
    descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    finally:
        os.close(descriptor)
    return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


@functools.cache
def _place() -> str:
    """Return a name of this boot of this machine, and of the container, that counts the pids."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(open("/proc/sys/kernel/random/boot_id").read())  # noqa: SIM115
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.blake2b("|".join(parts).encode(), digest_size=4).hexdigest()
