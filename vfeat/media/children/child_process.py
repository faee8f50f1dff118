"""One decoder child as its parent handles it: start, send, receive, kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import IO

from vfeat.errors import ErrorClass
from vfeat.media.children.clip_slots import Ring, clip_shape, create_fd
from vfeat.media.children.messages import (
    ChildConfig,
    ClipMade,
    FreeSlot,
    FromChild,
    Hello,
    RangeEmpty,
    RangeFailed,
)
from vfeat.media.children.task import Task
from vfeat.media.children.unit_budget import UnitBudget

_STDERR_TAIL_BYTES = 8192
_MESSAGE_CHARS = 400
_POLL_S = 0.5
_REAP_S = 5.0


class ChildLost(Exception):
    """Loss of a child that died or was killed; holds the error class and the message."""

    def __init__(self, error_class: ErrorClass, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message


@dataclass(frozen=True)
class ChildStats:
    """Memory and work of one child at one moment.

    Attributes:
        rss_bytes: resident memory, shared pages included.
        tasks: served so far.
    """

    pid: int
    rss_bytes: int
    tasks: int


class ChildProcess:
    """A running child. One thread sends and receives; any thread may free slots or kill it.

    The kernel kills the child when the thread that created it ends, so that thread must
    live as long as the child is wanted.
    """

    def __init__(self, config: ChildConfig, closed: threading.Event) -> None:
        """Start the process and wait until it is ready.

        Args:
            closed: set when nobody wants the child any more.

        Raises:
            ChildLost: it did not start within `start_timeout_s`.
        """
        self._limits = config.limits
        self._closed = closed
        self.tasks = 0
        self._lock = threading.Lock()  # over the socket's sending side and the counts
        self._held = 0
        self._slots = config.slots
        self._freed_s = 0.0
        self._stderr: IO[bytes] = tempfile.TemporaryFile("a+b", prefix="vfeat-child-")  # noqa: SIM115
        shape = clip_shape(config.clip, config.frame)
        memory_fd = create_fd(config.slots, shape)
        ours, theirs = socket.socketpair()
        try:
            self.ring = Ring(memory_fd, config.slots, shape)
            self._process = self._spawn(theirs.fileno(), memory_fd)
        finally:
            os.close(memory_fd)
            theirs.close()
        self._connection = Connection(ours.detach())
        self._budget = UnitBudget(None, self._limits, self.pid)
        self._greet(config)

    def _spawn(self, socket_fd: int, memory_fd: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "vfeat.media.children.child_main"]
        command += [str(socket_fd), str(memory_fd), str(os.getpid())]
        # What this process can import the child must find too (user decoders, Ray's paths).
        paths = [path or os.getcwd() for path in sys.path]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,
            stderr=self._stderr,
            pass_fds=(socket_fd, memory_fd),
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def _greet(self, config: ChildConfig) -> None:
        try:
            self._connection.send(config)
            hello = self._receive(self._limits.start_timeout_s)
        except (ChildLost, OSError) as error:
            message = f"a decoder child did not start: {error}"
            self.kill()
            raise ChildLost("internal", message) from error
        assert isinstance(hello, Hello)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def stats(self) -> ChildStats:
        """Return memory and work so far."""
        rss_pages = 0
        with suppress(OSError, ValueError), open(f"/proc/{self.pid}/statm") as file:
            rss_pages = int(file.read().split()[1])
        return ChildStats(self.pid, rss_pages * os.sysconf("SC_PAGE_SIZE"), self.tasks)

    def give(self, task: Task) -> None:
        """Send a task.

        Raises:
            OSError: the child is gone; nothing was done.
        """
        self._stderr.truncate(0)
        self._budget = UnitBudget(task, self._limits, self.pid)
        with self._lock:
            self._connection.send(task)
        self.tasks += 1

    def receive(self) -> FromChild:
        """Receive the next message.

        Raises:
            ChildLost: the child died, or was killed: it made no progress for `timeout_s`, or
                has used up the budget of its task.
        """
        return self._receive(self._limits.timeout_s)

    def _receive(self, timeout_s: float) -> FromChild:
        since_s = checked_s = time.monotonic()
        while True:
            if (overrun := self._budget.overrun()) is not None:
                self.kill()
                raise ChildLost("timeout", overrun)
            try:
                if self._connection.poll(_POLL_S):
                    message: FromChild = self._connection.recv()
                    self._budget.settled += isinstance(message, ClipMade | RangeEmpty | RangeFailed)
                    return message
            except (EOFError, OSError) as error:
                raise self._died() from error
            if self._closed.is_set():
                raise ChildLost("internal", "the decoder pool was closed")
            now_s = time.monotonic()
            with self._lock:
                if self._held >= self._slots:  # it waits for us: no fault of its own
                    since_s = now_s
                    self._budget.pause(now_s - checked_s)
                since_s = max(since_s, self._freed_s)
            checked_s = now_s
            if now_s - since_s > timeout_s:
                self.kill()
                raise ChildLost("timeout", f"no progress for {timeout_s:g} s; killed")

    def hold(self) -> None:
        """Count a slot as held by the parent."""
        with self._lock:
            self._held += 1

    def free(self, slot: int) -> None:
        """Give a slot back to the child, if it still lives."""
        with self._lock:
            self._held -= 1
            self._freed_s = time.monotonic()
            with suppress(OSError, ValueError):
                self._connection.send(FreeSlot(slot))

    def _died(self) -> ChildLost:
        try:
            code = self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return ChildLost("crashed", "the decoder closed its socket and went on")
        tail = self._stderr_tail()
        tail = f"; it wrote: {tail}" if tail else ""
        if code < 0:
            return ChildLost("crashed", f"the decoder died with {_signal_name(-code)}{tail}")
        return ChildLost("crashed", f"the decoder left with code {code}{tail}")

    def _stderr_tail(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL_BYTES))
        lines = self._stderr.read().decode(errors="replace").strip("\0").splitlines()
        # faulthandler's list of loaded modules says nothing about the video
        told = [line.strip() for line in lines if not line.startswith("Extension modules")]
        return " | ".join(line for line in told if line)[-_MESSAGE_CHARS:]

    def kill(self) -> None:
        """End the process now. Safe to call twice and from any thread."""
        with suppress(OSError):
            self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)

    def close(self) -> None:
        """Kill the process and release everything; only the receiving thread may call it."""
        self.kill()
        with self._lock:
            self._connection.close()
        self._stderr.close()


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
