"""The thread of a parent that reads for its child: credentials and network stay on this side."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from vfeat.errors import SourceChanged, UnitError
from vfeat.media.children.feed_protocol import ANSWER, REQUEST, Answered, Asked
from vfeat.media.children.served import Refused, Served


class Feeder(threading.Thread):
    """Server of one child's requests, of the video of its present task only.

    Attributes:
        served: that video; None between two tasks.
        refused: why nothing is answered any more: the request that no honest child makes.
    """

    def __init__(self, connection: socket.socket, progressed: Callable[[], None]) -> None:
        """Take over a socket.

        Args:
            connection: the parent's end.
            progressed: called when more of a copy has come.
        """
        super().__init__(name="vfeat-feed", daemon=True)
        self._socket = connection
        self._progressed = progressed
        self._closed = False
        self.served: Served | None = None
        self.refused: str | None = None

    def run(self) -> None:
        try:
            with suppress(OSError):
                while (request := self._request()) is not None:
                    self._answer(*request)
        except Refused as refused:
            self.refused = str(refused)
        except Exception as error:
            self.refused = f"its request could not be answered: {error!r}"
        finally:
            self._socket.close()
            if self.served is not None:
                self.served.close()

    def serve(self, served: Served) -> None:
        """Serve another video from here on; the child must be idle."""
        before, self.served = self.served, served
        if before is not None:
            before.close()

    def end(self) -> None:
        """End the thread; a request in progress is not waited for."""
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _request(self) -> tuple[int, int, int] | None:
        data = b""
        while len(data) < REQUEST.size:
            if not (more := self._socket.recv(REQUEST.size - len(data))):
                return None
            data += more
        asked, first, end = REQUEST.unpack(data)
        return asked, first, end

    def _answer(self, asked: int, first: int, end: int) -> None:
        served = self.served
        if served is None:
            raise Refused("a request without a task")
        try:
            if asked == Asked.OPEN and served.is_local:
                self._give(served.open())
            elif asked == Asked.OPEN:
                self._socket.sendall(ANSWER.pack(Answered.BYTES, served.size()))
            elif asked == Asked.RANGE:
                data = served.read(first, end)
                self._socket.sendall(ANSWER.pack(Answered.BYTES, len(data)))
                self._socket.sendall(data)
            elif asked == Asked.COPY:
                self._give(served.copy(self._on_copied))
            elif asked == Asked.CHECK:
                served.check()
                self._socket.sendall(ANSWER.pack(Answered.BYTES, 0))
            else:
                raise Refused("a request that does not exist")
        except UnitError as error:
            state = Answered.CHANGED if isinstance(error, SourceChanged) else Answered.FAILED
            self._socket.sendall(ANSWER.pack(state, 0))

    def _give(self, handle: int) -> None:
        try:
            socket.send_fds(self._socket, [ANSWER.pack(Answered.DESCRIPTOR, 0)], [handle])
        finally:
            os.close(handle)

    def _on_copied(self) -> None:
        if self._closed:
            raise OSError("the child is gone")
        self._progressed()
