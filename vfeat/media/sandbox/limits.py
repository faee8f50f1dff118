"""Limits that the kernel holds: memory, files, core dumps, and which process ends first."""

from __future__ import annotations

import os
import resource

# What the child may write in all: its words on standard error, kept in a file of the parent.
_FILE_BYTES = 1 << 20
_OPEN_FILES = 64
_OPEN_FILES_OF_A_DEVICE = 1024  # a GPU's driver opens its device files again and again
_SACRIFICE = 1000  # the first process that the kernel ends when the machine has no memory


def limit_memory(limit_bytes: int) -> None:
    """Limit the address space, so that an allocation fails instead of the machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def limit_written_memory(limit_bytes: int) -> None:
    """Limit the memory that a process can write to and shares with none.

    For one that uses a GPU: its driver reserves more addresses than the machine has memory.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def limit_the_rest(*, uses_device: bool = False) -> None:
    """Limit files that are written, files that are open, and core dumps.

    The number of processes is none of them: that limit counts all processes of the user, threads
    included, and does not hold for root.
    """
    for limit, most in (
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_NOFILE, _OPEN_FILES_OF_A_DEVICE if uses_device else _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))


def offer_as_sacrifice() -> None:
    """Let the kernel end this process before any other when memory runs out.

    Raises:
        OSError: there is no such setting.
    """
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(_SACRIFICE))


def limit_cpu(pid: int, seconds: float) -> None:
    """Limit the CPU seconds of another process, counted from its start; a no-op outside Linux.

    Raises:
        OSError: no such process, or not one of this user.
    """
    if hasattr(resource, "prlimit"):
        _, hard = resource.prlimit(pid, resource.RLIMIT_CPU)
        whole = int(seconds) + 1
        soft = whole if hard == resource.RLIM_INFINITY else min(whole, hard)
        resource.prlimit(pid, resource.RLIMIT_CPU, (soft, hard))


def memory_in_use(pid: int) -> int:
    """Return the resident memory of a process, shared pages included; 0 where unknown."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
