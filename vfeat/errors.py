"""Every error that vfeat raises on purpose.

    VfeatError                 exit code 1: a bug in vfeat, if it reaches a user
    ├── JobError               2: wrong flag, job file, recipe or empty corpus
    ├── EnvironmentMissing     4: a package, device or weights file is not here
    │   ├── NodeDiffers        4: a node has other versions, weights or sources than the driver
    │   └── DeviceLost         4: a GPU failed; another one may not
    ├── StorageError           5: a bucket, key or disk does not do what is asked
    │   └── MachineFull        5: this machine has no disk or descriptors left; another may have
    ├── CircuitOpen            1, or that of the class that opened it
    ├── Interrupted            130: stopped on request, resumable
    └── UnitError              one unit's failure; becomes an error row, never an exit
        └── SourceChanged      another content than planned; not an error: it is planned anew

Messages are written for the person who must act: what was expected, what was
found, where, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar, Literal, get_args

from vfeat.addresses import redacted

ErrorClass = Literal[
    "unreadable",  # the bytes are there, and no container was recognised
    "no_video",  # a container without a video stream
    "undecodable",  # a stream that does not give the frames it promises
    "crashed",  # the decoder died
    "timeout",  # the decoder made no progress
    "too_large",  # a frame that does not fit the pixel budget
    "storage",  # the bytes could not be read
    "internal",  # a bug in vfeat
]
ERROR_CLASSES: tuple[ErrorClass, ...] = get_args(ErrorClass)


class VfeatError(Exception):
    """Root of the tree: one argument for each line of the message, most often one.

    Addresses in the message are public: no error holds a password or the signature of a URL.

    Attributes:
        exit_code: what the command line leaves with.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, *lines: object) -> None:
        super().__init__(*(redacted(line) if isinstance(line, str) else line for line in lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines of the message; a line break inside of one belongs to a name in it."""
        return tuple(map(str, self.args)) or (type(self).__name__,)

    def __str__(self) -> str:
        return "\n".join(self.lines)


class JobError(VfeatError):
    """The command or the job asks for something that cannot be."""

    exit_code = 2


class EnvironmentMissing(VfeatError):
    """Something that must be installed or at hand is not."""

    exit_code = 4


class NodeDiffers(EnvironmentMissing):
    """A node differs from the others in what its results depend on; others can do the work."""


class DeviceLost(EnvironmentMissing):
    """A GPU failed; no video is to blame, and a fresh process or another node may do better."""


class StorageError(VfeatError):
    """Storage refused, lost or could not hold something."""

    exit_code = 5


class MachineFull(StorageError):
    """A machine has no room for the work; no video is to blame, and another machine may do it."""


class CircuitOpen(VfeatError):
    """Too many units failed in one way: the job stopped instead of going on."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # one class, several causes


class Interrupted(VfeatError):
    """A person or the system asked to stop before any shard ran."""

    exit_code = 130


class UnitError(VfeatError):
    """One unit of work failed; `error_class` and the message go into its error row."""

    def __init__(self, error_class: ErrorClass, message: str) -> None:
        super().__init__(error_class, message)  # both, so that pickling keeps them
        self.error_class = error_class
        self.message: str = self.args[1]

    @property
    def lines(self) -> tuple[str, ...]:
        """The message alone."""
        return (self.message,)


class SourceChanged(UnitError):
    """A video is no longer the object of its plan; none of it belongs under its old id."""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `did you mean 'x'?` with the nearest of `names`; empty where none is near."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""
