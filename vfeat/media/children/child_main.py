"""A decoder child: `python -m vfeat.media.children.child_main SOCKET FEED MEMORY PARENT_PID`.

Serves one task at a time until its parent closes the socket or dies. Whatever decodes is imported
before the sandbox is entered, and nothing of a video is read before. About 60 MB; torch is imported
only for shots that a network finds.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

from vfeat.errors import VfeatError
from vfeat.job.recipe import ClipSpec
from vfeat.media.children.channel import Channel
from vfeat.media.children.child_start import capture_ffmpeg_log, die_with_parent
from vfeat.media.children.clip_slots import Ring, Slots, clip_shape, slot_bytes
from vfeat.media.children.explain import explain
from vfeat.media.children.feed import Feed, GivenSource
from vfeat.media.children.messages import (
    Alive,
    ChildConfig,
    ClipMade,
    DecodeDone,
    DeviceShare,
    FreeSlot,
    GridLaid,
    Hello,
    ProbeDone,
    ProbeFailed,
    RangeEmpty,
    RangeFailed,
)
from vfeat.media.children.own_part import own_part
from vfeat.media.children.task import DecodeTask, ProbeTask, Task
from vfeat.media.clips import Clip, ClipAssembler, Empty, Lost, Settled
from vfeat.media.container import Opened
from vfeat.media.decoders.base import (
    Decoder,
    DecodeRequest,
    DecoderFactory,
    DecodeStats,
    load_decoder,
    reads_paths,
)
from vfeat.media.decoders.indexed import LibraryFailed
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.devices.base import Device, DeviceFailed, load_device
from vfeat.media.probe import SMALL_BYTES, Kept, probe_source
from vfeat.media.sandbox.enter import DeviceNeeds, Measure, enter
from vfeat.media.sandbox.limits import limit_memory, limit_written_memory
from vfeat.media.scan import scan
from vfeat.media.shots.detectors import load_detector
from vfeat.media.source import Progress, Source, locate
from vfeat.media.timeline import Grid
from vfeat.outcome import RangeError
from vfeat.storage.uris import is_local
from vfeat.video_facts import Timeline

_BEAT_S = 1.0


class Child:
    """The child's side of the socket."""

    def __init__(self, channel: Channel, feed: Feed, memory_fd: int) -> None:
        """Receive the configuration, load the decoder and enter the sandbox."""
        self._channel = channel
        self._feed = feed
        config = channel.receive(None)
        while config is None:
            config = channel.receive(None)
        assert isinstance(config, ChildConfig)
        self._config = config
        share = config.device
        if share is None:
            limit_memory(config.limits.memory_bytes)
        elif share.guarded:
            limit_written_memory(config.limits.memory_bytes)
        shape = clip_shape(config.clip, config.frame)
        self._ring: Slots = Ring(memory_fd, config.slots, shape)
        os.close(memory_fd)
        self._free = deque(range(config.slots))
        self._last_sent_s = 0.0
        self._waited_s = 0.0
        self._decoder: Decoder | None = None
        self._stats = DecodeStats()
        self._next_clip = 0
        self._kept = Kept()  # of the probe in this task, if there was one
        self._factory: DecoderFactory | VfeatError
        try:
            self._factory = load_decoder(config.frame.decoder)
        except VfeatError as error:
            self._factory = error  # each unit fails with it
        self._by_path = reads_paths(self._factory)
        self._no_shots = _prepare_shots(config.clip)
        self._device: Device | None = None
        self._device_failure = ""
        self._measures = self._enter(share)

    def _enter(self, share: DeviceShare | None) -> tuple[Measure, ...]:
        """Enter the sandbox, if the child is bounded; start its device, if it has one."""
        config = self._config
        if share is None:
            return enter(reads_files=self._by_path) if config.bounded else ()
        try:
            device = load_device(share.name)
            start = partial(self._start_device, device, bytes.fromhex(share.handle))
            if config.bounded:
                needs = DeviceNeeds(device.readable, device.writable, start, share.guarded)
                return enter(reads_files=self._by_path, device=needs)
            start()
        except DeviceFailed as error:
            self._device_failure = str(error)
        return ()

    def _start_device(self, device: Device, handle: bytes) -> None:
        from vfeat.media.children.device_slots import DeviceRing  # it imports torch

        config = self._config
        shape = clip_shape(config.clip, config.frame)
        device.start()
        memory = device.open(handle, config.slots * slot_bytes(shape))
        self._ring = DeviceRing(memory, config.slots, shape, device.finish)
        self._device = device

    def serve(self) -> None:
        """Serve tasks until the parent closes the socket."""
        self._send(Hello(self._measures, self._device_failure))
        while True:
            message = self._channel.receive(None)
            if isinstance(message, FreeSlot):
                self._free.append(message.slot)
            elif isinstance(message, ProbeTask):
                self._send(self._probe(message))
            elif isinstance(message, DecodeTask):
                self._decode(message)

    def _send(self, message: object) -> None:
        self._last_sent_s = time.monotonic()
        self._channel.send(message)

    def _reached(self) -> Progress:
        """Make a counter for one phase of a task: a new high is progress, activity alone is none.

        A phase passes the bytes of one file or the frames of one video, so that it ends.
        """
        highest = 0

        def reached(far: int = 0, /) -> None:
            nonlocal highest
            if far > highest:
                highest = far
                if time.monotonic() - self._last_sent_s >= _BEAT_S:
                    self._send(Alive())

        return reached

    def _probe(self, task: ProbeTask) -> ProbeDone | ProbeFailed:
        config = self._config
        try:
            if self._no_shots is not None:
                raise self._no_shots
            with ExitStack() as stack_:
                source = self._given(task, stack_)
                found = probe_source(
                    source, config.clip, config.limits, config.frame, self._reached
                )
            return ProbeDone(found)
        except Exception as error:
            error_class, message, spent = explain(error, task.uri)
            return ProbeFailed(error_class, message, spent)

    def _decode(self, task: DecodeTask) -> None:
        started_s, self._waited_s = time.monotonic(), 0.0
        self._feed.clock.seconds = 0.0
        self._next_clip, self._stats, spent = task.first_clip, DecodeStats(), False
        self._kept = Kept()
        try:
            with ExitStack() as stack_:
                source = self._source(self._given(task, stack_), task, stack_)
                stack_.callback(self._kept.close)
                line = task.timeline
                if line is None:
                    task, line = self._open(task, source)
                self._settle(task, line, source, stack_)
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            error_class, message, spent = explain(error, task.uri)
            # Of a video that cannot be opened, the first clip stands for all.
            last = self._next_clip if task.last_clip is None else task.last_clip
            if self._next_clip <= last:
                self._send(RangeFailed(RangeError(self._next_clip, last, error_class, message)))
        if self._config.bounded:
            self._feed.check(task.uri)
        stats, self._decoder = self._stats, None
        read_s, blocked_s = self._feed.clock.seconds, self._waited_s
        seconds = max(0.0, time.monotonic() - started_s - read_s - blocked_s)
        self._send(
            DecodeDone(
                stats.bad_packets, stats.frames_decoded, seconds, tuple(stats.warnings), spent,
                read_s, blocked_s,
            )
        )  # fmt: skip

    def _open(self, task: DecodeTask, source: Source) -> tuple[DecodeTask, Timeline]:
        """Lay the video's grid; return the task with its last clip, and the timeline."""
        config = self._config
        if self._no_shots is not None:
            raise self._no_shots
        found = probe_source(
            source, config.clip, config.limits, config.frame, self._reached, self._kept
        )
        last, _ = own_part(task, found)
        self._send(GridLaid(found))
        return replace(task, last_clip=last), found.timeline

    def _settle(self, task: DecodeTask, line: Timeline, source: Source, stack_: ExitStack) -> None:
        config = self._config
        grid = self._grid(source, line)
        request = DecodeRequest(source, line, config.limits, self._reached(), self._device)
        if isinstance(self._factory, VfeatError):
            raise self._factory
        try:
            self._run(self._decoder_of(request, self._factory), grid, task, stack_)
        except LibraryFailed as error:
            failed = self._stats
            decoder = PyavDecoder(request)
            decoder.stats.warnings += [*failed.warnings, f"{error.message}; PyAV goes on"]
            decoder.stats.frames_decoded = failed.frames_decoded
            self._run(decoder, grid, task, stack_)

    def _decoder_of(self, request: DecodeRequest, factory: DecoderFactory) -> Decoder:
        """Return a decoder for a request: that of the probe, where it is of the kind asked for."""
        kept = self._kept.decoder
        if kept is None or factory is not PyavDecoder or request.timeline.restarts:
            return factory(request)
        self._kept.decoder = None  # it is closed with the task
        return kept.resumed(request)

    def _run(self, decoder: Decoder, grid: Grid, task: DecodeTask, stack_: ExitStack) -> None:
        """Settle what is left of the task with one decoder."""
        stack_.callback(decoder.close)
        self._decoder, self._stats = decoder, decoder.stats
        config = self._config
        assembler = ClipAssembler(
            decoder, grid, config.frame, config.limits, task.uri, self._reached()
        )
        assert task.last_clip is not None
        for settled in assembler.settle(self._next_clip, task.last_clip):
            self._next_clip = self._report(settled)

    def _given(self, task: Task, stack_: ExitStack) -> Source:
        """Return the task's video: the parent opens what is on this machine."""
        if not self._config.bounded:
            return locate(task.uri, task.size_bytes)
        handle = None
        if is_local(task.uri):
            handle, _ = self._feed.open(task.uri)
        return self._with_handle(task.uri, task.size_bytes, handle, stack_)

    def _with_handle(
        self, uri: str, size_bytes: int | None, handle: int | None, stack_: ExitStack
    ) -> Source:
        path = None
        if handle is not None:
            stack_.callback(os.close, handle)
            path = f"/proc/self/fd/{handle}" if self._by_path else None
        return GivenSource(uri, size_bytes, path, feed=self._feed, handle=handle)

    def _source(self, source: Source, task: DecodeTask, stack_: ExitStack) -> Source:
        if not self._should_spool(source, task):
            return source
        handle = self._feed.copy(task.uri)
        return self._with_handle(task.uri, task.size_bytes, handle, stack_)

    def _should_spool(self, source: Source, task: DecodeTask) -> bool:
        if source.is_local or source.size_bytes is None:
            return False
        clip = self._config.clip
        most = clip.sampling != "sparse" and clip.stride_s <= 2 * clip.clip_s
        if task.timeline is None:  # finding shots, or laying the grid of a small file, reads it all
            most |= source.size_bytes <= SMALL_BYTES or clip.shots is not None
        else:
            assert task.last_clip is not None
            n_clips = Grid(clip, task.timeline).n_clips
            most &= task.last_clip - task.first_clip + 1 >= n_clips / 2
        return most and source.size_bytes <= self._config.limits.spool_bytes

    def _grid(self, source: Source, line: Timeline) -> Grid:
        clip, limits = self._config.clip, self._config.limits
        if clip.sampling != "sparse" or not source.is_local:
            return Grid(clip, line)
        # The sparse protocol counts frames: their times come from a scan.
        if self._kept.ticks is not None:
            return Grid(clip, line, self._kept.ticks)
        with Opened(source, limits.max_frame_pixels) as opened:
            ticks = scan(opened, self._reached()).ticks
        return Grid(clip, line, ticks[ticks >= line.origin_tick])

    def _report(self, settled: Settled) -> int:
        """Report to the parent; return the first clip that is not settled yet."""
        if isinstance(settled, Empty):
            self._send(RangeEmpty(settled.first_clip, settled.last_clip))
            return settled.last_clip + 1
        if isinstance(settled, Lost):
            first, last = settled.first_clip, settled.last_clip
            self._send(RangeFailed(RangeError(first, last, "undecodable", settled.message)))
            return last + 1
        self._emit(settled)
        return settled.window.clip_index + 1

    def _emit(self, clip: Clip) -> None:
        slot = self._free_slot()
        self._ring.write(slot, clip.frames)
        window = clip.window
        self._send(ClipMade(window.clip_index, window.start_s, window.end_s, slot, clip.lost > 0))

    def _free_slot(self) -> int:
        """Return a slot to write to; wait for the parent if it holds them all."""
        started_s = time.monotonic()
        if not self._free and self._decoder is not None:
            self._decoder.rest()
        while not self._free or self._channel.has_unread():
            message = self._channel.receive(None)
            if message is not None:
                assert isinstance(message, FreeSlot), message
                self._free.append(message.slot)
        self._waited_s += time.monotonic() - started_s
        return self._free.popleft()


def _prepare_shots(clip: ClipSpec) -> VfeatError | None:
    """Load the recipe's detector of shots; return why that failed: each unit fails with it."""
    if clip.shots is None:
        return None
    try:
        load_detector(clip.shots)
    except VfeatError as error:
        return error
    return None


def main(arguments: list[str]) -> None:
    """Run the child; entry point of the process."""
    socket_fd, feed_fd, memory_fd, parent_pid = (int(argument) for argument in arguments)
    die_with_parent(parent_pid)
    # Ctrl-C reaches the whole terminal group; the parent decides when children end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    capture_ffmpeg_log()
    channel = Channel(socket.socket(fileno=socket_fd), waits=True)
    feed = Feed(socket.socket(fileno=feed_fd))
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        Child(channel, feed, memory_fd).serve()
    # Native libraries may crash while they are taken down; nothing is left to do.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
