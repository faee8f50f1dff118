"""Privacy of a Ray cluster that starts on this machine: loopback only, and a token of our own.

Ray's servers execute what they are sent. Those of a local run listen on 127.0.0.1 alone, and take
requests only with the token in `~/.ray/auth_token`, which nobody else may read.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, utils

from vfeat.addresses import redacted
from vfeat.errors import EnvironmentMissing

_LOOPBACK = ("127.0.0.1", "::1")
_TOKEN_BYTES = 32
_OF_OTHERS = 0o077


@contextmanager
def loopback_only() -> Iterator[None]:
    """Let Ray's servers listen on loopback only, if they are started meanwhile.

    `ray.init` takes the machine's outward address, even where it is given 127.0.0.1; on macOS and
    Windows it takes the loopback address, and this is the switch between the two.
    """
    with _replaced(ray_constants, "ENABLE_RAY_CLUSTER", False):
        yield


def check_loopback() -> None:
    """Check where a local cluster listens.

    Raises:
        EnvironmentMissing: it can be reached from other machines.
    """
    address = ray.util.get_node_ip_address()
    if address not in _LOOPBACK:
        raise EnvironmentMissing(
            f"Ray {ray.__version__} listens on {address}, where other machines reach it; expected "
            "127.0.0.1: install a Ray that constraints.txt names, or use --executor inline"
        )


@contextmanager
def command_without_secrets() -> Iterator[None]:
    """Give Ray this process's command line, which a cluster keeps, with public addresses only."""
    found = utils.get_entrypoint_name
    with _replaced(utils, "get_entrypoint_name", lambda: redacted(found())):
        yield


def keep_token_private() -> None:
    """Make Ray's token for local clusters where there is none; take it from other users' eyes.

    Ray itself, before 2.60.1, makes a file that every user of the machine can read.
    """
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    # where it cannot be written, Ray reports that in its own words
    with suppress(OSError):
        path = Path.home() / ".ray" / "auth_token"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            mode = path.stat().st_mode
            if mode & _OF_OTHERS:
                path.chmod(mode & ~_OF_OTHERS)
            return
        with open(handle, "w") as file:
            file.write(secrets.token_hex(_TOKEN_BYTES))


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name, None)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
