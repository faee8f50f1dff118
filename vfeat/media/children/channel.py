"""Messages over a stream socket: four bytes of length, then the message.

The parent's end never waits: neither for the rest of a message whose beginning has come, nor for a
child that does not read.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import Any

from vfeat.media.children.messages import BrokenProtocol
from vfeat.media.children.wire import MOST_BYTES, pack, unpack

_LENGTH = struct.Struct("<I")
_RECEIVE_BYTES = 1 << 16


class Channel:
    """One end; one thread receives, and whoever sends holds a lock."""

    def __init__(self, connection: socket.socket, *, waits: bool) -> None:
        """Take over a socket.

        Args:
            connection: connected stream socket.
            waits: sending waits until the other end reads. False: OSError instead.
        """
        connection.setblocking(waits)
        self._waits = waits
        self._socket = connection
        self._buffer = bytearray()

    def send(self, message: Any) -> None:
        """Send a message.

        Raises:
            OSError: the other end is gone, or does not read; a part may have been sent.
        """
        data = pack(message)
        frame = _LENGTH.pack(len(data)) + data
        if self._waits:
            self._socket.sendall(frame)
        elif self._socket.send(frame) != len(frame):
            raise BlockingIOError("the other end does not read")

    def receive(self, timeout_s: float | None) -> Any | None:
        """Return the next message; None when none is whole within `timeout_s` seconds.

        Raises:
            BrokenProtocol: what came is no message.
            EOFError: the other end has closed.
            OSError: the connection is broken.
        """
        message = self._next()
        if message is None and self._is_readable(timeout_s):
            if not (data := self._socket.recv(_RECEIVE_BYTES)):
                raise EOFError
            self._buffer += data
            message = self._next()
        return message

    def has_unread(self) -> bool:
        """Return whether something has come that was not received."""
        return bool(self._buffer) or self._is_readable(0)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _is_readable(self, timeout_s: float | None) -> bool:
        waiting = select.poll()  # select() ends at descriptor 1024
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(None if timeout_s is None else timeout_s * 1000))

    def _next(self) -> Any | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MOST_BYTES:
            raise BrokenProtocol(f"a message of {length} bytes; the limit is {MOST_BYTES}")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return unpack(data)
