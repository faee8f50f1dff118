"""A folder for Ray's sockets whose path is short enough for the kernel.

Ray puts its sockets below TMPDIR. The address of a socket holds 107 bytes of path, and the TMPDIR
that a batch system gives each job may be longer than that alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile

from vfeat.errors import EnvironmentMissing

_LONGEST_SOCKET_BYTES = 107  # sun_path of Linux, without its final zero
# What Ray adds to its folder: a session's name with time and process, and its longest socket.
_RAY_ADDS = "/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store.99"
_SHORT_FOLDERS = ("/tmp", "/var/tmp")


class SocketFolder:
    """Ray's folder on this machine: its default, or a short one that is removed afterwards."""

    def __init__(self) -> None:
        """Choose, and make the short folder where one is needed.

        Raises:
            EnvironmentMissing: the default is too long, and no short folder can be made.
        """
        self._made: str | None = None
        if not _fits(_default()):
            self._made = _make_short()

    @property
    def temp_dir(self) -> str | None:
        """Argument for `ray.init`; None is Ray's default."""
        return self._made

    @property
    def logs(self) -> str:
        """Folder of the logs of Ray's last session."""
        return os.path.join(self._made or _default(), "session_latest", "logs")

    def remove(self) -> None:
        """Remove the short folder, if one was made."""
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)


def _default() -> str:
    """Return the folder that Ray takes by itself."""
    named = os.environ.get("RAY_TMPDIR", os.environ.get("TMPDIR", "/tmp"))
    return os.path.join(named, "ray")


def _fits(folder: str) -> bool:
    whole = os.fsencode(folder + _RAY_ADDS)
    return os.path.isabs(folder) and len(whole) <= _LONGEST_SOCKET_BYTES


def _make_short() -> str:
    for folder in filter(None, (*_SHORT_FOLDERS, os.environ.get("XDG_RUNTIME_DIR"))):
        try:
            made = tempfile.mkdtemp(prefix="vfeat-ray-", dir=folder)
        except OSError:
            continue
        if _fits(made):
            return made
        os.rmdir(made)
    raise EnvironmentMissing(
        f"{_default()} is too long a path for the sockets of Ray, and no folder can be made in "
        f"{' or '.join(_SHORT_FOLDERS)}: set RAY_TMPDIR to a writable folder of at most "
        f"{_LONGEST_SOCKET_BYTES - len(_RAY_ADDS) - len('/ray')} bytes, or use --executor inline"
    )
