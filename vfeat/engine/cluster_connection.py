"""Reaching a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import logging
import os
import socket

import ray

from vfeat.errors import EnvironmentMissing

CONNECT_S = 5.0


def connect(address: str | None) -> None:
    """Attach this process to the cluster at `address`; None starts a local one.

    Raises:
        EnvironmentMissing: nobody answers there, or Ray does not start.
    """
    # Without it, torch's threads spin while they wait and steal from the decoders.
    # Credentials are not passed on: Ray logs a job's environment. A local cluster inherits
    # them; the nodes of another one bring their own.
    env = {"OMP_WAIT_POLICY": "PASSIVE"}
    passed = {key: value for key, value in os.environ.items() if key.startswith("VFEAT_")}
    _check_address(address)
    try:
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            runtime_env={"env_vars": {**env, **passed}},
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = address or "this machine"
        raise EnvironmentMissing(f"Ray did not start on {where}: {error}") from None


def _check_address(address: str | None) -> None:
    """Ray itself retries an address where nobody answers for minutes."""
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
