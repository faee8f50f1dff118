"""Ways to make clips in this process and in children."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import (
    ClipReady,
    DecodeTask,
    Event,
    Probed,
    ProbeTask,
    TaskDone,
    TaskFailed,
)
from vfeat.media.clips import Clip, ClipAssembler, Settled
from vfeat.media.container import Opened
from vfeat.media.decoders.base import Decoder, DecodeRequest, Frame, load_decoder
from vfeat.media.devices.base import Device
from vfeat.media.probe import probe
from vfeat.media.sandbox.enter import NAMES
from vfeat.media.scan import scan
from vfeat.media.source import Progress, locate, no_progress
from vfeat.media.timeline import Grid
from vfeat.outcome import Outcome
from vfeat.video_facts import Probe, Timeline

LIMITS = DecodeLimits()
SMALL = FrameSpec(size=32)


class Marked:
    """A decoder whose pictures carry their tick instead of the picture."""

    def __init__(self, decoder: Decoder, size: int) -> None:
        self._decoder = decoder
        self._size = size

    def __getattr__(self, name: str) -> object:
        return getattr(self._decoder, name)

    def read(self) -> Frame | None:
        frame = self._decoder.read()
        return frame and Frame(frame.tick, lambda: write_tick(frame.tick, self._size))


def write_tick(tick: int, size: int) -> npt.NDArray[np.uint8]:
    picture = np.zeros((size, size, 3), np.uint8)
    picture.reshape(-1)[:8] = np.frombuffer(np.int64(tick).tobytes(), np.uint8)
    return picture


def read_tick(picture_VHWC: npt.NDArray[np.uint8]) -> int:
    return int(np.frombuffer(picture_VHWC.reshape(-1)[:8].tobytes(), np.int64)[0])


def settle(
    path: Path,
    spec: ClipSpec,
    first_clip: int = 0,
    last_clip: int | None = None,
    frame: FrameSpec = SMALL,
    *,
    ticks_only: bool = False,
    found: Probe | None = None,
    progress: Progress = no_progress,
    device: Device | None = None,
) -> list[Settled]:
    """Everything that becomes of a range of clips, in this process.

    Args:
        progress: of the decoder; it is called once for each packet that is read.
        device: that the decoder uses.
    """
    found = found or probe(str(path), None, spec, LIMITS)
    source = locate(str(path), None)
    ticks = None
    if spec.sampling == "sparse":
        with Opened(source, LIMITS.max_frame_pixels) as opened:
            ticks = scan(opened, no_progress).ticks
        ticks = ticks[ticks >= found.timeline.origin_tick]
    grid = Grid(spec, found.timeline, ticks)
    request = DecodeRequest(source, found.timeline, LIMITS, progress, device)
    decoder = load_decoder(frame.decoder)(request)
    try:
        seen: Decoder = Marked(decoder, frame.size) if ticks_only else decoder  # type: ignore[assignment]
        last = found.n_clips - 1 if last_clip is None else last_clip
        made = ClipAssembler(seen, grid, frame, LIMITS, path.name)
        return list(made.settle(first_clip, last))
    finally:
        decoder.close()


def seconds(clip: Clip, timeline: Timeline) -> list[float]:
    """Times of a marked clip's frames, from the first presented frame."""
    origin, tick_s = timeline.origin_tick, timeline.tick_s
    return [float((read_tick(frame) - origin) * tick_s) for frame in clip.frames]


def stacked(clips: list[Settled]) -> npt.NDArray[np.uint8]:
    """All pictures of all clips, in one array."""
    return np.stack([np.stack(clip.frames) for clip in clips if isinstance(clip, Clip)])


@dataclass
class Ran:
    """What a pool said about some videos.

    Attributes:
        frames: copies of the clips' frames by (task, clip).
        order: (task, clip) as they came.
    """

    probes: dict[int, Probe] = field(default_factory=dict)
    failures: dict[int, TaskFailed] = field(default_factory=dict)
    done: dict[int, TaskDone] = field(default_factory=dict)
    frames: dict[tuple[int, int], npt.NDArray[np.uint8]] = field(default_factory=dict)
    order: list[tuple[int, int]] = field(default_factory=list)

    @property
    def outcomes(self) -> dict[int, Outcome]:
        return {number: event.outcome for number, event in self.done.items()}

    def take(self, event: Event) -> None:
        if isinstance(event, Probed):
            self.probes[event.task_id] = event.probe
        elif isinstance(event, TaskFailed):
            self.failures[event.task_id] = event
        elif isinstance(event, TaskDone):
            self.done[event.task_id] = event
        else:
            key = (event.task_id, event.clip_index)
            self.order.append(key)
            self.frames[key] = event.frames.copy()
            event.release()


def events(pool: DecodePool, count: int, patience_s: float = 60.0) -> Iterator[Event]:
    """Events until `count` tasks are over."""
    while count:
        event = pool.next_event(patience_s)
        assert event is not None, f"nothing came for {patience_s} s"
        count -= not isinstance(event, ClipReady)
        yield event


def run_all(pool: DecodePool, paths: list[Path]) -> Ran:
    """Probe and decode every video whole."""
    ran = Ran()
    for number, path in enumerate(paths):
        pool.submit(ProbeTask(number, str(path)))
    for event in events(pool, len(paths)):
        ran.take(event)
    for number, found in ran.probes.items():
        last = found.n_clips - 1
        pool.submit(
            DecodeTask(number, str(number), str(paths[number]), None, found.timeline, 0, last)
        )
    for event in events(pool, len(ran.probes)):
        ran.take(event)
    return ran


@contextmanager
def pool_of(
    workers: int = 1,
    spec: ClipSpec | None = None,
    frame: FrameSpec = SMALL,
    limits: DecodeLimits = LIMITS,
    slots: int = 4,
) -> Iterator[DecodePool]:
    """A pool with small frames."""
    with DecodePool(spec or ClipSpec(), frame, limits, workers, slots) as pool:
        yield pool


def needs(holding: set[str]) -> None:
    """Skip the test where a measure of the sandbox is not to be had."""
    if missing := set(NAMES) - holding:
        pytest.skip(f"this machine lacks {', '.join(sorted(missing))}")
