"""Addresses of Ray clusters: what can be refused before Ray itself tries for minutes."""

from __future__ import annotations

import os
import socket

from vfeat.errors import EnvironmentMissing, JobError

CONNECT_S = 5.0
_CLIENT = "ray://"


def check_address(address: str | None) -> None:
    """Refuse an address at which no driver can work.

    Args:
        address: `HOST:PORT` or `auto`; None for whatever RAY_ADDRESS names, if anything.

    Raises:
        JobError: it is an address of Ray Client.
        EnvironmentMissing: no server answers there.
    """
    named = address or os.environ.get("RAY_ADDRESS") or ""
    if named.startswith(_CLIENT):
        host = named.removeprefix(_CLIENT).partition(":")[0]
        raise JobError(
            f"{named} is an address of Ray Client, which cannot start workers on nodes that a "
            f"driver chooses: give --address {host}:6379 on a machine of the cluster, or submit "
            f"the command to it: ray job submit --address http://{host}:8265 -- vfeat ..."
        )
    if (server := _server(named)) is None:
        return
    try:
        socket.create_connection(server, timeout=CONNECT_S).close()
    except OSError as error:
        raise EnvironmentMissing(
            f"no Ray cluster answers at {named} ({error}); start one with `ray start --head`, "
            "correct --address, or leave it out to run on this machine"
        ) from None


def is_here(address: str | None) -> bool:
    """Return whether the cluster's head runs on this machine."""
    if (server := _server(address or os.environ.get("RAY_ADDRESS") or "")) is None:
        return False
    try:
        family, kind, protocol, _, there = socket.getaddrinfo(*server, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind((there[0], 0))  # an address of another machine cannot be bound
    except OSError:
        return False
    return True


def why_refused(error: Exception, address: str) -> str:
    """Return one sentence on a cluster that did not let a driver in."""
    text = " ".join(str(error).split())
    if "InvalidAuthToken" in text:
        token = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
        return (
            f"the Ray cluster at {address} requires a token, and "
            + ("the one that was given is not its own" if token else "none was given")
            + ": set RAY_AUTH_MODE=token, and its token as RAY_AUTH_TOKEN, as a file that "
            "RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token"
        )
    if "RAY_AUTH_TOKEN" in text:
        return (
            "RAY_AUTH_MODE is token, and there is no token: set RAY_AUTH_TOKEN, or "
            "RAY_AUTH_TOKEN_PATH to a file with the cluster's, or put it into ~/.ray/auth_token"
        )
    return f"Ray did not start on {address}: {error}"


def _server(address: str) -> tuple[str, int] | None:
    host, _, port = address.rpartition(":")
    return (host, int(port)) if host and port.isdigit() else None
