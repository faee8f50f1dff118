"""Connecting to a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from vfeat.engine.local_ray import (
    check_loopback,
    command_without_secrets,
    keep_token_private,
    loopback_only,
)
from vfeat.engine.ray_address import check_address, is_here, why_refused
from vfeat.engine.socket_folder import SocketFolder
from vfeat.errors import EnvironmentMissing


class Connection:
    """Connection of this process to a cluster."""

    def __init__(self, address: str | None) -> None:
        """Attach to the cluster at `address`; None starts a local one.

        Raises:
            JobError: it is an address that no driver can use.
            EnvironmentMissing: no cluster answers there or it refuses us, or Ray does not start.
        """
        check_address(address)
        if address is not None or "RAY_ADDRESS" in os.environ:
            _check_token(address or os.environ["RAY_ADDRESS"])
        # Only a cluster that starts here puts its sockets here.
        starts = address is None and not os.environ.get("RAY_ADDRESS")
        self._sockets = SocketFolder() if starts else None
        try:
            if self._sockets is None:
                _connect(address)
            else:
                _start(self._sockets.temp_dir)
        except BaseException:
            self.close()
            raise

    @property
    def is_own(self) -> bool:
        """True for a cluster that was started here, with this machine as its only node."""
        return self._sockets is not None

    @property
    def logs(self) -> str:
        """Folder of Ray's logs."""
        return self._sockets.logs if self._sockets else "session_latest/logs of the cluster's nodes"

    def close(self, *, keep_logs: bool = False) -> None:
        """Detach, and end a cluster that was started here."""
        ray.shutdown()
        if self._sockets is not None and not keep_logs:
            self._sockets.remove()


def _start(temp_dir: str | None) -> None:
    """Start a cluster on this machine that nobody else can use."""
    keep_token_private()
    with loopback_only():
        # `local`: never one that somebody has started here
        _connect("local", **({} if temp_dir is None else {"_temp_dir": temp_dir}))
        check_loopback()


def _connect(address: str | None, **options: Any) -> None:
    # Without it, torch's threads spin while they wait and steal from the decoders.
    # Credentials are not passed on: Ray logs a job's environment. A local cluster inherits
    # them; the nodes of another one bring their own.
    env = {"OMP_WAIT_POLICY": "PASSIVE"}
    passed = {key: value for key, value in os.environ.items() if key.startswith("VFEAT_")}
    try:
        with _kept_handler(signal.SIGTERM), command_without_secrets():
            ray.init(
                address=address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
                runtime_env={"env_vars": {**env, **passed}},
                **options,
            )
    except Exception as error:  # a node that does not start in time is a plain Exception
        where = "this machine" if address in (None, "local") else str(address)
        raise EnvironmentMissing(why_refused(error, where)) from None


@contextmanager
def _kept_handler(number: signal.Signals) -> Iterator[None]:
    """Put a signal's handler back after the block: Ray's own would end the process at once."""
    before = signal.getsignal(number)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(number, before)


def _check_token(address: str) -> None:
    """Ask the cluster whether it lets this user in; Ray itself would ask for half a minute.

    A cluster whose head is on this machine is given this user's token. `ray start --head` requires
    it as soon as there is one, which every local run makes.

    Raises:
        EnvironmentMissing: the token is missing or is not the cluster's.
    """
    try:
        from ray._private.authentication import authentication_token_setup as tokens
        from ray._raylet import GcsClient  # type: ignore[attr-defined]
        from ray.exceptions import AuthenticationError
    except ImportError:  # a Ray without tokens
        return
    try:
        tokens.ensure_token_if_auth_enabled(None, create_token_if_missing=False)
        if address == "auto":
            return
        try:
            GcsClient(address=address)
        except (AuthenticationError, RuntimeError):
            # Not before: a driver that requires tokens hears nothing from a cluster without them.
            if not is_here(address):
                raise
            tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
            GcsClient(address=address)
    except (AuthenticationError, RuntimeError) as error:
        raise EnvironmentMissing(why_refused(error, address)) from None
