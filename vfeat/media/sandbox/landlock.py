"""Landlock: no file but those beneath some folders, no TCP, no signal to others."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from contextlib import suppress

from vfeat.media.sandbox.kernel import system_call

# The same numbers on every machine.
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _CONTROL_DEVICE = 1 << 1, 1 << 2, 1 << 3, 1 << 15
_BIND_AND_CONNECT = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
# Highest version whose rights of files are known here, and how many there are from a version on.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}


def version() -> int:
    """Return the version of the kernel's interface.

    Raises:
        OSError: the kernel has no Landlock, or it is not switched on.
    """
    return system_call(_CREATE, None, 0, _VERSION_FLAG)


def restrict(readable: Iterable[str], writable: Iterable[str] = ()) -> int:
    """Restrict this thread, and the threads that it starts, for good.

    All access to files is refused but reading beneath some folders and the use of some devices.
    Descriptors that are open already go on.

    Args:
        readable: folders and files; those that do not exist are left out.
        writable: device files, and folders of them; likewise.

    Returns:
        The version of Landlock: from 4 on it refuses TCP, from 6 on signals to other processes.

    Raises:
        OSError: the kernel refused.
    """
    found = version()
    files = max(rights for since, rights in _FILE_RIGHTS.items() if since <= found)
    handled = [(1 << files) - 1]
    if found >= 4:
        handled.append(_BIND_AND_CONNECT)
    if found >= 6:
        handled.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    attributes = struct.pack(f"={len(handled)}Q", *handled)
    ruleset = system_call(_CREATE, ctypes.c_char_p(attributes), len(attributes), 0)
    try:
        for path in readable:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                _allow(ruleset, path, 0)
        for path in writable:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                _allow(ruleset, path, (_WRITE_FILE | _CONTROL_DEVICE) & handled[0])
        system_call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return found


def _allow(ruleset: int, path: str, more: int) -> None:
    """Allow reading beneath a path, and the rights in `more`."""
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _READ_FILE | _READ_DIR if os.path.isdir(path) else _READ_FILE
        rule = struct.pack("=Qi", rights | more, handle)
        system_call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(handle)
