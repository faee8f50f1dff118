"""A web server that gives no file: the message names the host and what happened."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from vfeat.errors import StorageError
from vfeat.storage.failures import MissingObject
from vfeat.storage.listing import list_objects
from vfeat.storage.source import open_source


@pytest.fixture
def nobody() -> str:
    """An address of this machine at which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture(params=[403, 404, 500])
def answering(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A server that gives every request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(request.param)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}", request.param
    server.shutdown()
    server.server_close()


def failures(uri: str) -> Iterator[StorageError]:
    """The errors of listing and of opening the same URI."""
    with pytest.raises(StorageError) as listed:
        list(list_objects(uri))
    yield listed.value
    with pytest.raises(StorageError) as opened:
        open_source(uri, patience_s=1).read()
    yield opened.value


def test_a_refused_connection_is_not_a_missing_file(nobody: str) -> None:
    for error in failures(f"http://{nobody}/a.mp4"):
        assert not isinstance(error, MissingObject)
        assert f"cannot reach {nobody}: connection refused" in str(error)


def test_a_name_that_is_not_resolved_is_not_a_missing_file() -> None:
    for error in failures("http://no-such-host.invalid/a.mp4"):
        assert not isinstance(error, MissingObject)
        assert "cannot reach no-such-host.invalid: its name is not resolved" in str(error)


def test_only_not_found_is_missing(answering: tuple[str, int]) -> None:
    host, status = answering
    for error in failures(f"http://{host}/a.mp4"):
        assert isinstance(error, MissingObject) == (status == 404)
        assert ("does not exist" in str(error)) == (status == 404)
        assert (f"{host} answered {status}" in str(error)) == (status != 404)
