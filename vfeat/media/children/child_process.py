"""One decoder child as its parent handles it: start, send, receive, kill."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO

from vfeat.addresses import public
from vfeat.errors import ErrorClass
from vfeat.media.children.channel import Channel
from vfeat.media.children.clip_slots import Ring, Shape, Slots, clip_shape, create_fd
from vfeat.media.children.feeder import Feeder
from vfeat.media.children.messages import (
    Alive,
    BrokenProtocol,
    ChildConfig,
    ClipMade,
    DecodeDone,
    DeviceShare,
    FreeSlot,
    FromChild,
    Hello,
    RangeEmpty,
    RangeFailed,
)
from vfeat.media.children.served import Served
from vfeat.media.children.started import explain_exit, start_child
from vfeat.media.children.task import DecodeTask, Task
from vfeat.media.children.unit_budget import UnitBudget
from vfeat.media.children.wire import MOST_BYTES
from vfeat.media.devices.base import DeviceFailed
from vfeat.media.sandbox.enter import Measure
from vfeat.media.sandbox.limits import memory_in_use

_POLL_S = 0.5
_REAP_S = 5.0
# Signs of life that a task may send: one a second is what a child sends.
_SPARE_BEATS, _BEATS_PER_S = 20, 4
_SPARE_S = 1.0  # by which the seconds that a child counts may exceed those of its task


class ChildLost(Exception):
    """Loss of a child that died or was killed; holds the error class and the message."""

    def __init__(self, error_class: ErrorClass, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message


class DeviceRefused(ChildLost):
    """Loss of a child that cannot use its device."""

    def __init__(self, message: str) -> None:
        super().__init__("internal", message)


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
            closed: set when the child is no longer needed.

        Raises:
            ChildLost: it did not start within `start_timeout_s`.
        """
        self._limits = config.limits
        self._finds_shots = config.clip.shots is not None
        self._closed = closed
        self.tasks = 0
        self._lock = threading.Lock()  # over the socket's sending side and the counts
        self._held: set[int] = set()
        self._slots = config.slots
        self._progressed_s = 0.0  # what the parent itself did: a slot freed, bytes copied
        self._beats = 0
        self._began_s = time.monotonic()
        self._stderr: IO[bytes] = tempfile.TemporaryFile("a+b", prefix="vfeat-child-")  # noqa: SIM115
        shape = clip_shape(config.clip, config.frame)
        memory_fd = create_fd(config.slots, shape)
        ours, theirs = socket.socketpair()
        # A task with a long video's cuts is one message, and the parent waits for no reader.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_BYTES)
        feeds, fed = socket.socketpair()
        try:
            self.ring: Slots
            if config.device is None:
                self.ring = Ring(memory_fd, config.slots, shape)
            else:
                self.ring, config = _on_device(config, config.device, shape)
            self._process = start_child(self._stderr, theirs.fileno(), fed.fileno(), memory_fd)
        except BaseException:
            ours.close()
            feeds.close()
            raise
        finally:
            os.close(memory_fd)
            theirs.close()
            fed.close()
        self._channel = Channel(ours, waits=False)
        self._feeder = Feeder(feeds, self._on_progress)
        self._feeder.start()
        self._budget = UnitBudget(None, self._limits, self.pid)
        self._greet(config)

    def _greet(self, config: ChildConfig) -> None:
        try:
            self._channel.send(config)
            hello = self._receive(self._limits.start_timeout_s)
            if not isinstance(hello, Hello):
                raise ChildLost("crashed", "its first message was no greeting")
            if hello.device_failure:
                raise DeviceRefused(f"a decoder child cannot use its GPU: {hello.device_failure}")
        except DeviceRefused:
            self.close()
            raise
        except (ChildLost, OSError) as error:
            message = f"a decoder child did not start: {error}"
            self.close()
            raise ChildLost("internal", message) from error
        self.measures: tuple[Measure, ...] = hello.measures

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def stats(self) -> ChildStats:
        """Return memory and work so far."""
        return ChildStats(self.pid, memory_in_use(self.pid), self.tasks)

    def give(self, task: Task) -> None:
        """Send a task.

        The child learns nothing of the video that identifies it to a store: no user, password or
        signature.

        Raises:
            OSError: the child is gone, or has said something unasked; nothing was done.
        """
        if self._channel.has_unread() or self._feeder.refused is not None:
            raise ConnectionError("the child is gone, or sent messages without a task")
        self._stderr.truncate(0)
        self._budget = UnitBudget(task, self._limits, self.pid, self._finds_shots)
        self._beats, self._began_s = 0, time.monotonic()
        limits = self._limits
        self._feeder.serve(Served(task, limits.timeout_s / 2, limits.spool_bytes))
        shown = replace(task, uri=public(task.uri))
        if isinstance(shown, DecodeTask):
            shown = replace(shown, video_id="", etag=None)
        with self._lock:
            self._channel.send(shown)
        self.tasks += 1

    @property
    def served(self) -> Served:
        """The present task's video, as the parent has read it for the child."""
        assert self._feeder.served is not None
        return self._feeder.served

    def receive(self) -> FromChild:
        """Receive the next message.

        Raises:
            ChildLost: the child died, or was killed: it made no progress for `timeout_s`, has
                used up the budget of its task, or broke the protocol.
        """
        return self._receive(self._limits.timeout_s)

    def _receive(self, timeout_s: float) -> FromChild:
        since_s = checked_s = time.monotonic()
        while True:
            if (overrun := self._budget.overrun()) is not None:
                self.kill()
                raise ChildLost(overrun.error_class, overrun.message)
            try:
                message: FromChild | None = self._channel.receive(_POLL_S)
                if message is not None:
                    self._check(message)
                    return message
            except BrokenProtocol as broken:
                raise self.broke(broken) from broken
            except (EOFError, OSError) as error:
                raise self._died() from error
            if self._feeder.refused is not None:
                raise self.broke(BrokenProtocol(self._feeder.refused))
            if self._closed.is_set():
                raise ChildLost("internal", "the decoder pool was closed")
            now_s = time.monotonic()
            with self._lock:
                if len(self._held) >= self._slots:  # it waits for us: no fault of its own
                    since_s = now_s
                    self._budget.pause(now_s - checked_s)
                since_s = max(since_s, self._progressed_s)
            checked_s = now_s
            if now_s - since_s > timeout_s:
                self.kill()
                raise ChildLost("timeout", f"no progress for {timeout_s:g} s; killed")

    def broke(self, broken: BrokenProtocol) -> ChildLost:
        """End a child that broke the protocol; return the loss to raise."""
        self.kill()
        return ChildLost("crashed", f"the decoder broke the protocol: {broken}; killed")

    def _check(self, message: FromChild) -> None:
        """Check what concerns the child itself: its slots and times, and how often it speaks."""
        if isinstance(message, Alive):
            self._beats += 1
            seconds = time.monotonic() - self._began_s
            if self._beats > _SPARE_BEATS + _BEATS_PER_S * seconds:
                raise BrokenProtocol(f"{self._beats} signs of life in {seconds:.1f} s")
            return
        if isinstance(message, DecodeDone):
            seconds = time.monotonic() - self._began_s
            if message.decode_s + message.read_s + message.blocked_s > seconds + _SPARE_S:
                raise BrokenProtocol(f"more seconds of work than the {seconds:.1f} s of the task")
        if isinstance(message, ClipMade):
            with self._lock:
                if message.slot >= self._slots or message.slot in self._held:
                    raise BrokenProtocol(f"slot {message.slot}, which is not the child's")
        self._budget.settled += isinstance(message, ClipMade | RangeEmpty | RangeFailed)

    def _on_progress(self) -> None:
        self._progressed_s = time.monotonic()

    def hold(self, slot: int) -> None:
        """Count a slot as held by the parent."""
        with self._lock:
            self._held.add(slot)

    def free(self, slot: int) -> None:
        """Give a slot back to the child, if it still lives."""
        with self._lock:
            self._held.discard(slot)
            self._on_progress()
            try:
                self._channel.send(FreeSlot(slot))
            except BlockingIOError:  # it does not read: the next receive finds it dead
                self._process.kill()
            except (OSError, ValueError):
                pass  # it is gone

    def _died(self) -> ChildLost:
        if self._feeder.refused is not None:
            return self.broke(BrokenProtocol(self._feeder.refused))
        try:
            code = self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return ChildLost("crashed", "the decoder closed its socket and went on")
        return ChildLost("crashed", explain_exit(code, self._stderr))

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
            self._channel.close()
        self._feeder.end()
        self._stderr.close()


def start_child_of(
    config: ChildConfig, closed: threading.Event
) -> tuple[ChildProcess, ChildConfig]:
    """Start a child, less guarded if its device does not start beneath the guards.

    Returns:
        The child, and the configuration with which it has started.
    """
    try:
        return ChildProcess(config, closed), config
    except DeviceRefused:
        share = config.device
        if share is None or not share.guarded:
            raise
        config = replace(config, device=replace(share, guarded=False))
        return ChildProcess(config, closed), config


def _on_device(config: ChildConfig, share: DeviceShare, shape: Shape) -> tuple[Slots, ChildConfig]:
    """Allocate the slots on a device; return them, and the configuration with their handle."""
    from vfeat.media.children.device_slots import create_ring  # it imports torch

    try:
        ring, handle = create_ring(share.name, config.slots, shape)
    except DeviceFailed as error:
        raise DeviceRefused(f"no memory for clips on the GPU: {error}") from error
    return ring, replace(config, device=replace(share, handle=handle))
