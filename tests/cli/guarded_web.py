"""A web server whose files are there for signed addresses, and for one user."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

PRIVATE = "/private/"  # below it the user's name and password count, elsewhere a signature


@dataclass
class GuardedWeb:
    """What is served, and to whom.

    Attributes:
        host: of the server, with its port.
        signatures: that are accepted.
        users: `name:password` that are accepted.
        refused: paths of the requests without either.
        served: (path, signature) of the others.
        moved: where the files of some paths are.
    """

    folder: Path
    host: str = ""
    signatures: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    served: list[tuple[str, str]] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)

    def signed(self, path: str, signature: str) -> str:
        """Return the address of a file as a store presigns it."""
        return f"http://{self.host}/{path}?X-Amz-Expires=60&X-Amz-Signature={signature}"

    def of_user(self, path: str, user: str) -> str:
        """Return the address of a private file, with name and password."""
        return f"http://{user}@{self.host}{PRIVATE}{path}"

    def allows(self, path: str, signature: str, authorization: str) -> bool:
        """Return whether a request is answered."""
        if not path.startswith(PRIVATE):
            return signature in self.signatures
        kind, _, given = authorization.partition(" ")
        return kind == "Basic" and base64.b64decode(given).decode() in self.users


def part_of(asked: str, size: int) -> tuple[int, int] | None:
    """Return first byte and end of the range that a request asks for."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
    return (int(found[1]), min(int(found[2] or size - 1) + 1, size)) if found else None


class _Handler(BaseHTTPRequestHandler):
    web: GuardedWeb
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        parts = urlsplit(self.path)
        signature = parse_qs(parts.query).get("X-Amz-Signature", [""])[0]
        path = self.web.folder / unquote(parts.path.lstrip("/"))
        headers = {"Accept-Ranges": "bytes"}
        body, status = b"", 200
        if parts.path in self.web.moved:
            headers["Location"], status = self.web.moved[parts.path], 302
        elif not self.web.allows(parts.path, signature, self.headers.get("Authorization", "")):
            self.web.refused.append(parts.path)
            # as stores do, with the request in the answer
            body, status = f"no access to {self.path}".encode(), 403
        elif not path.is_file():
            status = 404
        else:
            self.web.served.append((parts.path, signature))
            body = path.read_bytes()
            headers["ETag"] = f'"{len(body)}-{path.name}"'
        if status == 200 and (wanted := part_of(self.headers.get("Range", ""), len(body))):
            first, end = wanted
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(body)}"
            body, status = body[first:end], 206
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[GuardedWeb]:
    """Serve a folder on loopback."""
    web = GuardedWeb(folder)

    handler = type("Handler", (_Handler,), {"web": web})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    web.host = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
