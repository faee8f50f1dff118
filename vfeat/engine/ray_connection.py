"""Connecting to a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import logging
import os
import socket

import ray

from vfeat.engine.socket_folder import SocketFolder
from vfeat.errors import EnvironmentMissing

CONNECT_S = 5.0


class Connection:
    """Connection of this process to a cluster."""

    def __init__(self, address: str | None) -> None:
        """Attach to the cluster at `address`; None starts a local one.

        Raises:
            EnvironmentMissing: nobody answers there, or Ray does not start.
        """
        _check_address(address)
        # Only a cluster that starts here puts its sockets here.
        starts = address is None and not os.environ.get("RAY_ADDRESS")
        self._sockets = SocketFolder() if starts else None
        try:
            _connect(address, self._sockets.temp_dir if self._sockets else None)
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


def _connect(address: str | None, temp_dir: str | None) -> None:
    # Without it, torch's threads spin while they wait and steal from the decoders.
    # Credentials are not passed on: Ray logs a job's environment. A local cluster inherits
    # them; the nodes of another one bring their own.
    env = {"OMP_WAIT_POLICY": "PASSIVE"}
    passed = {key: value for key, value in os.environ.items() if key.startswith("VFEAT_")}
    folder = {} if temp_dir is None else {"_temp_dir": temp_dir}
    try:
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            runtime_env={"env_vars": {**env, **passed}},
            **folder,
        )
    except (OSError, ValueError, RuntimeError) as error:
        where = address or "this machine"
        raise EnvironmentMissing(f"Ray did not start on {where}: {error}") from None


def _check_address(address: str | None) -> None:
    """Raise at once when no server answers; Ray itself would retry for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise EnvironmentMissing(
            f"no Ray cluster answers at {address} ({error}); start one with `ray start --head`, "
            "correct --address, or leave it out to run on this machine"
        ) from None
