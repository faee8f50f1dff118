"""Serving on loopback until Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable

from vfeat.errors import EnvironmentMissing, JobError

HOST = "127.0.0.1"


def check_packages() -> None:
    """Check that the web server is installed.

    Raises:
        EnvironmentMissing: it is not.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise EnvironmentMissing(
            f"vfeat browse needs the package {error.name}: pip install 'vfeat[browse]'"
        ) from None


def serve(
    uri: str,
    *,
    predictions: list[str],
    duplicates: str | None,
    keep_bytes: int,
    port: int,
    device: str,
    labels: str | None,
    ready: Callable[[str], None],
) -> None:
    """Serve the page of a dataset until the process is interrupted.

    Args:
        ready: called with the address of the page when it is answered.

    Raises:
        JobError: there is no dataset, or the port is taken.
        EnvironmentMissing: the web server is not installed.
    """
    check_packages()
    import uvicorn

    from vfeat.browse.guard import new_token
    from vfeat.browse.opened import Opened
    from vfeat.browse.server import application

    listening = bind(port)
    opened = Opened(uri, predictions, duplicates, keep_bytes, device, labels)
    try:
        token = new_token()
        config = uvicorn.Config(
            application(opened, token), log_level="error", access_log=False, lifespan="off",
            server_header=False, timeout_graceful_shutdown=2, ws="none",
        )  # fmt: skip
        opened.start()
        ready(f"http://{HOST}:{listening.getsockname()[1]}/{token}/")
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        opened.close()
        listening.close()


def bind(port: int) -> socket.socket:
    """Listen on loopback.

    Raises:
        JobError: the port is taken.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise JobError(
            f"port {port} of {HOST} cannot be had ({error.strerror}); name another with --port, "
            "or 0 for any that is free"
        ) from None
    listening.listen(128)
    return listening
