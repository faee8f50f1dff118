"""A page that is really served, and requests to it as they are on the wire."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from vfeat.browse.opened import Opened
from vfeat.browse.serve import bind
from vfeat.browse.server import application

TOKEN = "token-of-the-tests"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running server."""

    port: int
    opened: Opened

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        token: str = TOKEN,
    ) -> Answer:
        """Send one request; the path is sent as it stands, dots and all."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, f"/{token}/{path}", body, headers or {})
            found = connection.getresponse()
            lowered = {name.lower(): value for name, value in found.getheaders()}
            return Answer(found.status, lowered, found.read())
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        answer = self.ask(path)
        assert answer.status == 200, answer.body
        return answer.json


@contextmanager
def serving(uri: str, **options: Any) -> Iterator[Served]:
    """Serve a dataset for the length of a test."""
    given = {
        "predictions": [],
        "duplicates": None,
        "keep_bytes": 1 << 28,
        "device": "cpu",
        "labels": None,
    }
    opened = Opened(uri, **{**given, **options})
    listening = bind(0)
    config = uvicorn.Config(
        application(opened, TOKEN), log_level="critical", lifespan="off", ws="none",
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    opened.start()
    thread.start()
    try:
        yield Served(listening.getsockname()[1], opened)
    finally:
        server.should_exit = True
        thread.join(30)
        opened.close()
        listening.close()
