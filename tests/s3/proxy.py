"""A proxy before the S3 server: counts bytes, and does what networks do."""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import suppress

_BODY = b"<Error><Code>NotImplemented</Code><Message>no conditions</Message></Error>"
_NO_CONDITIONS = (
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
_METHODS = frozenset({b"GET", b"HEAD", b"PUT", b"POST", b"DELETE"})
_SHARD = re.compile(rb"PUT [^ ]*/features/")
_STORMS = {
    "500": (b"500 Internal Server Error", b"InternalError"),
    "503": (b"503 Slow Down", b"SlowDown"),
    "expired": (b"403 Forbidden", b"ExpiredToken"),
}


class Storm:
    """What every request meets for a while.

    Attributes:
        kind: an answer (`500`, `503`, `expired`), `reset` or `delay`.
        hits: requests that met it.
    """

    def __init__(self, kind: str, lasts_s: float) -> None:
        self.kind = kind
        self.hits = 0
        self._until_s = time.monotonic() + lasts_s

    @property
    def is_over(self) -> bool:
        """True when requests pass again."""
        return time.monotonic() > self._until_s

    def extend(self, seconds: float) -> None:
        """Let it last so long from now on."""
        self._until_s = time.monotonic() + seconds

    def answer(self, method: bytes) -> bytes | None:
        """Count a request; return what it is answered, empty for nothing, None to let it pass."""
        self.hits += 1
        if self.kind == "delay":
            time.sleep(max(0.0, self._until_s - time.monotonic()))
            return None
        if self.kind == "reset":
            return b""
        status, code = _STORMS[self.kind]
        body = b"<Error><Code>%s</Code><Message>a storm</Message></Error>" % code
        head = b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nConnection: close\r\n" % status
        head += b"Content-Length: %d\r\n\r\n" % len(body)
        return head if method == b"HEAD" else head + body


class Proxy:
    """Passes bytes on to a port of this machine.

    Attributes:
        down_bytes: how much the server has sent.
        asked: methods of the requests, in order.
        cut_after_bytes: the connection of each answer ends after so many bytes, `cuts` times.
        lose_answers: so many answers to PUT are dropped, together with their connection.
        refuse_conditions: answer 501 to conditional requests, as some stores do.
        up_limit_bytes: everything is cut, for good, when clients have sent so much.
        piece_s: how long every piece of an answer is held back.
        shard_s: how long the PUT of a file of features is held back.
        storm: what requests meet at present, if not the server.
    """

    def __init__(self, port: int) -> None:
        self.down_bytes = 0
        self.asked: list[str] = []
        self.cut_after_bytes: int | None = None
        self.cuts = 0
        self.lose_answers = 0
        self.refuse_conditions = False
        self.up_limit_bytes: int | None = None
        self.piece_s = self.shard_s = 0.0
        self.storm: Storm | None = None
        self._up_bytes = 0
        self._target = ("127.0.0.1", port)
        self._lock = threading.Lock()
        self._listen(0)

    @property
    def endpoint(self) -> str:
        """What AWS_ENDPOINT_URL_S3 must be."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends the thread that waits for one
        self._listener.close()

    def refuse(self, seconds: float) -> None:
        """Refuse connections for a while; requests on old ones are cut off."""
        port = self._listener.getsockname()[1]
        self.storm = Storm("reset", seconds)
        self.close()
        time.sleep(seconds)
        self._listen(port)

    def _listen(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                _Connection(self, client, self._target)

    def in_storm(self, sent: bytes) -> bytes | None:
        """Return what a request meets in place of the server; None where it passes."""
        method = sent.partition(b" ")[0]
        storm = self.storm
        if storm is None or storm.is_over or method not in _METHODS:
            return None
        return storm.answer(method)

    def is_cut(self, sent_bytes: int) -> bool:
        """Count what a client sends; True when that was too much."""
        with self._lock:
            self._up_bytes += sent_bytes
            return self.up_limit_bytes is not None and self._up_bytes > self.up_limit_bytes

    def note(self, sent: bytes) -> None:
        """Count a request, where what a client sends begins one."""
        method = sent.partition(b" ")[0]
        if method in _METHODS:
            with self._lock:
                self.asked.append(method.decode())

    def ends_answer(self, passed_bytes: int) -> bool:
        """True when a connection ends here, in the middle of its answer."""
        with self._lock:
            ends = (
                self.cuts > 0
                and self.cut_after_bytes is not None
                and passed_bytes > self.cut_after_bytes
            )
            self.cuts -= ends
            return ends

    def takes_answer(self, request: bytes) -> bool:
        """True when the answer to this request shall be lost."""
        with self._lock:
            doomed = request.startswith(b"PUT ") and self.lose_answers > 0
            self.lose_answers -= doomed
            return doomed


class _Connection:
    def __init__(self, proxy: Proxy, client: socket.socket, target: tuple[str, int]) -> None:
        self.proxy, self.client, self.doomed = proxy, client, False
        try:
            self.server = socket.create_connection(target)
        except OSError:
            client.close()
            return
        for work in (self._up, self._down):
            threading.Thread(target=work, daemon=True).start()

    def _up(self) -> None:
        with suppress(OSError):
            while data := self.client.recv(1 << 16):
                self.proxy.note(data)
                self.doomed = self.doomed or self.proxy.takes_answer(data)
                if self.proxy.refuse_conditions and b"if-none-match:" in data.lower():
                    self.client.sendall(_NO_CONDITIONS)
                    break
                if self.proxy.is_cut(len(data)):
                    break
                if (answer := self.proxy.in_storm(data)) is not None:
                    self.client.sendall(answer)
                    break
                if _SHARD.match(data):
                    time.sleep(self.proxy.shard_s)
                self.server.sendall(data)
        self._close()

    def _down(self) -> None:
        passed_bytes = 0
        with suppress(OSError):
            while data := self.server.recv(1 << 16):
                self.proxy.down_bytes += len(data)
                passed_bytes += len(data)
                if self.proxy.ends_answer(passed_bytes):
                    break
                if self.doomed and not data.startswith(b"HTTP/1.1 100"):
                    break
                time.sleep(self.proxy.piece_s)
                self.client.sendall(data)
        self._close()

    def _close(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
