"""A web server that answers ranges, counts bytes, and can fail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote


@dataclass
class Web:
    """What is served, and what was asked for.

    Attributes:
        asked: path of each request.
        sent: bytes of each answer.
        broken: answer every request with 503.
        headers: more headers of each answer.
    """

    address: str = ""
    folder: Path = Path()
    asked: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    broken: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def _file_of(folder: Path, path: str) -> Path:
    """The file of that name with its query, if there is such a one, else without."""
    whole = folder / unquote(path.lstrip("/"))
    return whole if whole.is_file() else folder / unquote(path.partition("?")[0].lstrip("/"))


@contextmanager
def serve(folder: Path) -> Iterator[Web]:
    """Serve a folder on loopback."""
    web = Web(folder=folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            web.asked.append(self.path)
            path = _file_of(web.folder, self.path)
            body, status = b"", 200
            if web.broken:
                status = 503
            elif not path.is_file():
                status = 404
            else:
                body = path.read_bytes()
            headers = {"Accept-Ranges": "bytes", **web.headers}
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted and status == 200:
                total, first = len(body), int(wanted[1])
                last = min(int(wanted[2] or total - 1), total - 1)
                body, status = body[first : last + 1], 206
                headers["Content-Range"] = f"bytes {first}-{last}/{total}"
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            if with_body:  # counted before the answer, at whose end a test may look
                web.sent.append(len(body))
            self.end_headers()
            self.wfile.write(body if with_body else b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    web.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
