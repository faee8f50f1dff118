"""Entry into the sandbox: each measure that the machine has, and a report of which hold.

Nothing leads back. What is imported, opened or started before goes on.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass

import vfeat
from vfeat.media.sandbox import landlock, limits, seccomp
from vfeat.media.sandbox.kernel import is_linux, set_process_option, threads

_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null")
NAMES = (
    "empty environment",
    "limits",
    "first to end without memory",
    "no new privileges",
    "Landlock for files",
    "Landlock for TCP",
    "Landlock for signals",
    "seccomp",
)


@dataclass(frozen=True)
class Measure:
    """One measure of the boundary.

    Attributes:
        name: one of NAMES.
        missing: why it does not hold; empty where it holds.
    """

    name: str
    missing: str = ""


def enter(*, reads_files: bool = False) -> tuple[Measure, ...]:
    """Enter the sandbox with this thread and all that it starts; report every measure.

    Args:
        reads_files: files may be opened for reading, for a library that takes paths only.
    """
    found = [
        _tried("limits", limits.limit_the_rest),
        _tried("first to end without memory", limits.offer_as_sacrifice),
        _tried("no new privileges", lambda: set_process_option(_NO_NEW_PRIVILEGES, 1)),
        *_landlock(reads_files),
        _tried("seccomp", seccomp.install),
    ]
    return (_environment(), *found)


def code_folders() -> tuple[str, ...]:
    """Return where Python's and the system's libraries lie: a module may load another one late."""
    places = sysconfig.get_paths()
    python = [places[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    ours = os.path.dirname(os.path.abspath(vfeat.__file__))
    return (*dict.fromkeys((*python, ours)), *_LIBRARIES)


def _environment() -> Measure:
    # A credential of any store or hub has a name with one of these.
    marks = ("KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL")
    left = [name for name in os.environ if any(mark in name.upper() for mark in marks)]
    return Measure("empty environment", f"holds {', '.join(left)}" if left else "")


def _landlock(reads_files: bool) -> list[Measure]:
    files, *others = NAMES[4:7]
    try:
        if not is_linux():
            raise OSError(0, f"{sys.platform} has none")
        if threads() > 1:
            raise OSError(0, "a library has started threads, which it would not reach")
        found = landlock.restrict(("/",) if reads_files else code_folders())
    except OSError as error:
        return [Measure(name, error.strerror or str(error)) for name in (files, *others)]
    return [
        Measure(files, "for writing only: this decoder opens paths" if reads_files else ""),
        *(
            Measure(name, "" if found >= since else f"the kernel's version is {found}, not {since}")
            for name, since in zip(others, (4, 6), strict=True)
        ),
    ]


def _tried(name: str, attempt: Callable[[], None]) -> Measure:
    try:
        attempt()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Measure(name, reason)
    return Measure(name)
