"""Thumbnails, decoded in sandboxed children when the page asks for them.

A picture is the frame in the middle of a short window of the video's time, whatever the clips of
the dataset are. Always decoded with PyAV: a decoder that a dataset names may be code.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress

from vfeat.browse.failures import Refused
from vfeat.browse.videos import Video
from vfeat.errors import UnitError, VfeatError
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, Probed, ProbeTask, TaskDone, TaskFailed
from vfeat.media.jpeg import encode_jpeg
from vfeat.video_facts import Probe

GRID_S = 0.5
SIZE = 176  # pixels
LIMITS = DecodeLimits(timeout_s=20.0, memory_bytes=2 << 30)
_KEPT_BYTES = 64 << 20
_KEPT_PROBES = 5000
_MOST_WAITING = 2000
_BEAT_S = 1.0

Wanted = tuple[str, int]  # video, number of the window


class Thumbnails:
    """A pool of decoder children, and what it made last."""

    def __init__(self, children: int) -> None:
        clip = ClipSpec(num_frames=1, clip_s=GRID_S, stride_s=GRID_S)
        frame = FrameSpec(size=SIZE, resize="area", square_pixels=True)
        self._pool = DecodePool(clip, frame, LIMITS, children)
        self._lock = threading.Lock()
        self._made: OrderedDict[Wanted, bytes] = OrderedDict()
        self._bytes = 0
        self._waiting: dict[Wanted, Future[bytes]] = {}
        self._probes: OrderedDict[str, Probe] = OrderedDict()
        self._probing: dict[str, list[int]] = {}  # windows that wait for a video's grid
        self._tasks: dict[int, tuple[Video, int | None]] = {}
        self._next = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="vfeat-thumbnails", daemon=True)
        self._thread.start()

    def ask(self, video: Video, at_s: float) -> Future[bytes]:
        """Return the JPEG of the frame at a second, which may come later."""
        number = int(at_s / GRID_S)
        wanted = (video.video_id, number)
        with self._lock:
            if wanted in self._made:
                self._made.move_to_end(wanted)
                done: Future[bytes] = Future()
                done.set_result(self._made[wanted])
                return done
            if (waiting := self._waiting.get(wanted)) is not None:
                return waiting
            if len(self._waiting) >= _MOST_WAITING or self._closed.is_set():
                raise Refused(503, "too many pictures are asked for: try again in a moment")
            future = self._waiting[wanted] = Future()
            self._begin(video, number)
        return future

    def close(self) -> None:
        """End all children; pictures that are waited for fail."""
        self._closed.set()
        self._pool.close()
        self._thread.join(5.0)
        with self._lock:
            waiting, self._waiting = list(self._waiting.values()), {}
        for future in waiting:
            _fail(future, Refused(503, "the server ends"))

    def _begin(self, video: Video, number: int) -> None:
        """Submit the next task of a picture; the lock is held."""
        if (probe := self._probes.get(video.video_id)) is not None:
            self._decode(video, number, probe)
        elif video.video_id in self._probing:
            self._probing[video.video_id].append(number)
        else:
            self._probing[video.video_id] = [number]
            task = self._task(video, None)
            self._pool.submit(ProbeTask(task, video.uri, video.size_bytes))

    def _decode(self, video: Video, number: int, probe: Probe) -> None:
        place = min(number, probe.n_clips - 1)
        task = self._task(video, number)
        self._pool.submit(
            DecodeTask(
                task, video.video_id, video.uri, video.size_bytes, probe.timeline, place, place,
                etag=video.etag,
            )
        )  # fmt: skip

    def _task(self, video: Video, number: int | None) -> int:
        self._next += 1
        self._tasks[self._next] = (video, number)
        return self._next

    def _follow(self) -> None:
        while not self._closed.is_set():
            event = self._pool.next_event(_BEAT_S)
            if isinstance(event, Probed):
                self._on_probe(event)
            elif isinstance(event, TaskFailed):
                self._on_failure(event)
            elif isinstance(event, ClipReady):
                self._on_picture(event)
            elif isinstance(event, TaskDone):
                self._on_end(event)

    def _on_probe(self, event: Probed) -> None:
        with self._lock:
            video, _ = self._tasks.pop(event.task_id)
            self._probes[video.video_id] = event.probe
            if len(self._probes) > _KEPT_PROBES:
                self._probes.popitem(last=False)
            with suppress(RuntimeError):  # the pool is closed
                for number in self._probing.pop(video.video_id, []):
                    self._decode(video, number, event.probe)

    def _on_failure(self, event: TaskFailed) -> None:
        with self._lock:
            video, _ = self._tasks.pop(event.task_id)
            numbers = self._probing.pop(video.video_id, [])
            failed = [self._waiting.pop((video.video_id, n), None) for n in numbers]
        for future in failed:
            _fail(future, UnitError(event.error_class, event.message))

    def _on_picture(self, event: ClipReady) -> None:
        try:
            jpeg = encode_jpeg(event.array[0, 0])
        finally:
            event.release()
        with self._lock:
            video, number = self._tasks[event.task_id]
            assert number is not None
            wanted = (video.video_id, number)
            self._made[wanted] = jpeg
            self._bytes += len(jpeg)
            while self._bytes > _KEPT_BYTES:
                self._bytes -= len(self._made.popitem(last=False)[1])
            future = self._waiting.pop(wanted, None)
        if future is not None and future.set_running_or_notify_cancel():
            future.set_result(jpeg)

    def _on_end(self, event: TaskDone) -> None:
        with self._lock:
            video, number = self._tasks.pop(event.task_id)
            future = None if number is None else self._waiting.pop((video.video_id, number), None)
        outcome = event.outcome
        if outcome.changed:
            error: VfeatError = Refused(409, "the file has changed since it was read")
        elif outcome.errors:
            error = UnitError(outcome.errors[0].error_class, outcome.errors[0].message)
        else:
            error = UnitError("undecodable", event.no_room or "no frame begins there")
        _fail(future, error)


def _fail(future: Future[bytes] | None, error: Exception) -> None:
    if future is not None and future.set_running_or_notify_cancel():
        future.set_exception(error)
