"""Calls into the kernel that Python's library does not have."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Any

MACHINES = {"x86_64": 0, "aarch64": 1}  # column in `system_calls`


def is_linux() -> bool:
    """Return whether the process runs on Linux."""
    return sys.platform == "linux"


def machine() -> str | None:
    """Return the machine's name if its system calls are known, else None."""
    name = platform.machine()
    # A 32-bit interpreter on a 64-bit kernel has other numbers.
    return name if name in MACHINES and sys.maxsize > 1 << 32 else None


def system_call(number: int, *arguments: Any) -> int:
    """Make a system call.

    Raises:
        OSError: the kernel refused it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def set_process_option(option: int, value: int) -> None:
    """Call prctl with one value.

    Raises:
        OSError: the kernel refused it, or is not Linux.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl"):
        raise OSError(0, "this system has no prctl")
    if libc.prctl(option, ctypes.c_ulong(value), *(ctypes.c_ulong(0),) * 3) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def threads() -> int:
    """Return the number of threads of this process."""
    return len(os.listdir("/proc/self/task"))
