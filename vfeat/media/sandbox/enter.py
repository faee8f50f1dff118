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
# A measure that holds in part is named with the part that does not.
_LEFT_FOR_A_DEVICE = {
    "limits": "of written memory, not of addresses: a GPU's driver reserves more than there is",
    "Landlock for files": "but for the GPU's device files and what its driver reads",
    "seccomp": "but files may be opened for writing, as device files are",
}


@dataclass(frozen=True)
class DeviceNeeds:
    """What the use of a device needs of the sandbox.

    Attributes:
        readable: files and folders that its driver reads.
        writable: its device files.
        start: starts the driver; called beneath Landlock, before the system calls are filtered.
        guarded: Landlock and a limit of memory hold; see `DeviceShare`.
    """

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    start: Callable[[], None]
    guarded: bool = True


@dataclass(frozen=True)
class Measure:
    """One measure of the boundary.

    Attributes:
        name: one of NAMES.
        missing: why it does not hold; empty where it holds.
    """

    name: str
    missing: str = ""


def enter(*, reads_files: bool = False, device: DeviceNeeds | None = None) -> tuple[Measure, ...]:
    """Enter the sandbox with this thread and all that it starts; report every measure.

    Args:
        reads_files: files may be opened for reading, for a library that takes paths only.
        device: what this process decodes with, beside the CPU; what its start raises is raised.
    """
    uses_device = device is not None
    found = [
        _tried("limits", lambda: limits.limit_the_rest(uses_device=uses_device)),
        _tried("first to end without memory", limits.offer_as_sacrifice),
        _tried("no new privileges", lambda: set_process_option(_NO_NEW_PRIVILEGES, 1)),
        *_landlock(reads_files, device),
    ]
    # Landlock alone tells a device file from another one: without it none is opened for writing.
    opens = uses_device and not found[3].missing
    if device is not None:
        device.start()
    found.append(_tried("seccomp", lambda: seccomp.install(opens_devices=opens)))
    if device is not None:
        found = [_weakened(measure, device.guarded, opens) for measure in found]
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


def _weakened(measure: Measure, guarded: bool, opens: bool) -> Measure:
    """Return a measure with what it leaves open for a device."""
    left = _LEFT_FOR_A_DEVICE.get(measure.name)
    if measure.name == "seccomp" and not opens:
        left = None
    if measure.name == "limits" and not guarded:
        left = "of memory by the parent only: the GPU's driver does not start beneath them"
    return measure if measure.missing or left is None else Measure(measure.name, left)


def _landlock(reads_files: bool, device: DeviceNeeds | None) -> list[Measure]:
    files, *others = NAMES[4:7]
    readable = ("/",) if reads_files else code_folders()
    writable: tuple[str, ...] = ()
    if device is not None:
        readable, writable = (*readable, *device.readable), device.writable
    try:
        if device is not None and not device.guarded:
            raise OSError(0, "the GPU's driver does not start beneath it")
        if not is_linux():
            raise OSError(0, f"{sys.platform} has none")
        if threads() > 1:
            raise OSError(0, "a library has started threads, which it would not reach")
        found = landlock.restrict(readable, writable)
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
