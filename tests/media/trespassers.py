"""Decoders that attack: what a video could do that took its decoder over.

Each does so in the file whose name holds `cfr25_bframes`, and decodes all others as PyAV does.
"""

from __future__ import annotations

import os
import pickle
import resource
import socket
import stat
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.media.hostile import _At
from vfeat.media.children.feed_protocol import REQUEST, Asked
from vfeat.media.children.messages import Alive, ClipMade, DecodeDone, GridLaid, RangeEmpty
from vfeat.media.children.wire import pack
from vfeat.media.decoders.base import opens_paths
from vfeat.video_facts import Probe, Timeline

SECRET = "hunter2-hunter2"
MARK = "/tmp/vfeat-trespassed"


def sockets() -> list[int]:
    """Descriptors of the sockets of this process: messages first, then bytes of videos."""
    found = []
    for number in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                found.append(number)
        except OSError:
            continue
    return found


def send(data: bytes) -> None:
    """Send the bytes of a message, whatever they are."""
    os.write(sockets()[0], struct.pack("<I", len(data)) + data)


def _threads_work() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def _writes_through_an_open_file() -> None:
    for number in range(3, 64):
        if number not in sockets() and stat.S_ISREG(os.fstat(number).st_mode):
            os.write(number, b"x")


def _allocates_uncounted() -> None:
    os.memfd_create("x")


def _fills_the_disk() -> None:
    for _ in range(4 << 10):
        os.write(2, bytes(1 << 10))


REFUSED: dict[str, Callable[[], Any]] = {
    "read a file": lambda: Path("/etc/passwd").read_text(),
    "read its own source": lambda: Path(__file__).read_text(),
    "read the parent's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "list a folder": lambda: os.listdir("/"),
    "write a file": lambda: Path(MARK).write_text("x"),
    "make a folder": lambda: os.mkdir(MARK),
    "remove a file": lambda: os.unlink(__file__),
    "change a mode": lambda: os.chmod(__file__, 0o777),
    "write into the video": _writes_through_an_open_file,
    "fill the disk through standard error": _fills_the_disk,
    "open a TCP socket": lambda: socket.socket(socket.AF_INET),
    "open a UNIX socket": lambda: socket.socket(socket.AF_UNIX),
    "fork": os.fork,
    "run a program": lambda: subprocess.run(["/bin/true"], check=True),
    "signal the parent": lambda: os.kill(os.getppid(), 0),
    "allocate memory that is not counted": _allocates_uncounted,
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
}
ALLOWED: dict[str, Callable[[], Any]] = {"start a thread": _threads_work}


class Trespasser(_At):
    """Tries everything; its error lists what it could do, and what it has found of secrets."""

    def misbehave(self) -> None:
        done = [name for name, act in (REFUSED | ALLOWED).items() if _succeeds(act)]
        found = [f"{name}={value}" for name, value in os.environ.items()]
        raise RuntimeError(f"did [{'; '.join(done)}] as {self._request.source.uri} with {found}")


def _succeeds(act: Callable[[], Any]) -> bool:
    try:
        act()
    except (OSError, ValueError):
        return False
    return True


@opens_paths
class PathTrespasser(Trespasser):
    """As a decoder that needs paths: it may read files, and do nothing with them."""


class HeldSlot(_At):
    """Claims a slot twice; the consumer holds it in between."""

    def misbehave(self) -> None:
        send(pack(ClipMade(2, 2.0, 3.0, 0, False)))
        send(pack(ClipMade(3, 3.0, 4.0, 0, False)))
        threading.Event().wait()


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (MARK,)


def _floods() -> None:
    """Send a billion messages."""
    for _ in range(1_000_000_000):
        send(pack(Alive()))


def _reads_too_much() -> None:
    """Ask for the same thing again and again."""
    feed = sockets()[1]
    for _ in range(1_000_000):
        os.write(feed, REQUEST.pack(Asked.CHECK, 0, 0))
        os.read(feed, 9)


def _is_done_too_soon() -> None:
    os.write(sockets()[1], REQUEST.pack(Asked.CHECK, 0, 0))
    os.read(sockets()[1], 9)
    send(pack(DecodeDone(0, 0, 0.0, ())))


def _second_grid() -> bytes:
    line = Timeline(1, 25, 0, 150, 150)
    return pack(GridLaid(Probe("mp4", "h264", 8, 8, 0, line, 6, 0, 1.0, True)))


# What ends the child, and the words of the error; each after clip 1.
BREAKS: dict[str, tuple[Callable[[], Any], str]] = {
    "garbage": (lambda: send(os.urandom(100)), "broke the protocol"),
    "pickle": (lambda: send(pickle.dumps(_Bomb())), "broke the protocol"),
    "huge": (lambda: os.write(sockets()[0], b"\xff" * 4), "the limit is 1048576"),
    "slot": (
        lambda: send(pack(ClipMade(2, 2.0, 3.0, 60_000, False))),
        "slot 60000, which is not the child's",
    ),
    "clip": (
        lambda: send(pack(ClipMade(5, 5.0, 6.0, 3, False))),
        "clips 5 to 5 where 2 to 5 were expected",
    ),
    "times": (
        lambda: send(pack(ClipMade(2, 0.0, 3.0, 3, False))),
        "clip 2 has not the times of the grid",
    ),
    "beyond": (lambda: send(pack(RangeEmpty(2, 1_000_000))), "where 2 to 5 were expected"),
    "done": (_is_done_too_soon, "its clips from 2 on are not"),
    "unchecked": (lambda: send(pack(DecodeDone(0, 0, 0.0, ()))), "not compared once more"),
    "hours": (lambda: send(pack(DecodeDone(0, 0, 1e6, ()))), "more seconds of work than the"),
    "grid": (lambda: send(_second_grid()), "a second grid"),
    "flood": (_floods, "signs of life"),
    "elsewhere": (
        lambda: os.write(sockets()[1], REQUEST.pack(Asked.RANGE, 0, 1 << 20)),
        "ranges of a local file",
    ),
    "greedy": (_reads_too_much, "more reading than a video of its size can need"),
}


class Breaker(_At):
    """Breaks the protocol in the way that the file's name ends with, and waits."""

    def misbehave(self) -> None:
        act, _ = BREAKS[self._request.source.uri.rpartition("-")[2].removesuffix(".mp4")]
        act()
        threading.Event().wait()


class HalfMessage(_At):
    """Begins a message, and never ends it."""

    def misbehave(self) -> None:
        os.write(sockets()[0], struct.pack("<I", 1000) + b"x")
        threading.Event().wait()


class SpeaksLater(_At):
    """Leaves a message for the task that follows its own."""

    def close(self) -> None:
        super().close()
        if self._named:
            threading.Timer(0.2, lambda: send(pack(Alive()) + b"?")).start()

    def misbehave(self) -> None:
        """Do nothing yet."""
