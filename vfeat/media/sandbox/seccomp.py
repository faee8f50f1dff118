"""A seccomp filter: system calls that a decoder never needs fail.

What is refused fails with EPERM, so that the caller's own error is raised and written into an error
row. The list names what is refused: a list of what is allowed would have to know every call that
another version of the C library or of a decoder makes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from vfeat.media.sandbox import system_calls
from vfeat.media.sandbox.kernel import MACHINES, machine, system_call

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SET_FILTER, _ALL_THREADS = 1, 1
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_X32 = 0x40000000  # numbers from here on are the x32 interface
_CLONE_THREAD = 0x10000
_PR_SET_PDEATHSIG = 1
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, value
Program = list[Instruction]


def install(*, opens_devices: bool = False) -> None:
    """Install the filter in all threads of this process, for good.

    It needs `no_new_privs`.

    Args:
        opens_devices: files may be opened for writing: device files are.

    Raises:
        OSError: the kernel refused, or this machine's system calls are not known here.
    """
    name = machine()
    if name is None:
        raise OSError(errno.ENOSYS, "the system calls of this machine are not known")
    program = build(name, os.getpid(), opens_devices=opens_devices)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    memory = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(program), ctypes.addressof(memory))
    system_call(_SECCOMP[name], _SET_FILTER, _ALL_THREADS, ctypes.c_char_p(header))


def build(name: str, pid: int, *, opens_devices: bool = False) -> Program:
    """Build the filter's program.

    Args:
        name: machine, a key of MACHINES.
        pid: process that may receive signals from itself.
        opens_devices: see `install`.
    """
    column = MACHINES[name]
    program: Program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _ARCHITECTURE[name]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
    ]
    if name == "x86_64":
        program += [(_AT_LEAST, 0, 1, _X32), _refuse()]
    for group in (
        system_calls.PROCESSES,
        system_calls.NETWORK,
        system_calls.SHARED_MEMORY,
        system_calls.WRITING,
        system_calls.MOUNTS,
        system_calls.KERNEL,
    ):
        for numbers in group.values():
            if (number := numbers[column]) is not None:
                program += _when(number, [_refuse()])
    checks = _by_arguments(pid)
    if opens_devices:
        del checks["open"], checks["openat"]
    for call, check in checks.items():
        if (number := system_calls.ARGUMENTS[call][column]) is not None:
            program += _when(number, check)
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _by_arguments(pid: int) -> dict[str, Program]:
    """Return the rest of the program for each call that is refused by its arguments."""
    to_others = _unless((_EQUAL, 1, 0, pid))
    return {
        # A thread is a clone, too. clone3 hides its flags in memory: libraries fall back.
        "clone": _unless((_ANY_BIT, 1, 0, _CLONE_THREAD)),
        "clone3": [_refuse(errno.ENOSYS)],
        "open": _unless((_ANY_BIT, 0, 1, _WRITING), argument=1),
        "openat": _unless((_ANY_BIT, 0, 1, _WRITING), argument=2),
        "openat2": [_refuse(errno.ENOSYS)],
        "kill": to_others,
        "tgkill": to_others,
        "rt_sigqueueinfo": to_others,
        "rt_tgsigqueueinfo": to_others,
        "tkill": [_refuse()],
        "prctl": _unless((_EQUAL, 0, 1, _PR_SET_PDEATHSIG)),
        # Limits may be read, not set: the new ones are behind a pointer.
        "prlimit64": [
            (_LOAD, 0, 0, _argument(2)),
            (_EQUAL, 0, 2, 0),
            (_LOAD, 0, 0, _argument(2) + 4),
            (_EQUAL, 1, 0, 0),
            _refuse(),
            (_RETURN, 0, 0, _ALLOW),
        ],
    }


def _when(number: int, rest: Program) -> Program:
    """Return a program for one call; it ends in `rest`."""
    return [(_EQUAL, 0, len(rest), number), *rest]


def _unless(test: Instruction, argument: int = 0) -> Program:
    """Return a program that refuses unless a test of an argument skips the refusal."""
    return [(_LOAD, 0, 0, _argument(argument)), test, _refuse(), (_RETURN, 0, 0, _ALLOW)]


def _argument(number: int) -> int:
    """Return the place of an argument's lower half; both machines are little-endian."""
    return 16 + 8 * number


def _refuse(error: int = errno.EPERM) -> Instruction:
    return (_RETURN, 0, 0, _ERROR | error)
