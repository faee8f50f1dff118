"""Batches on their way through the device: one fills, one is computed, one is read back.

On a GPU each of the three has buffers of its own, in page-locked host memory and on the device, and
uploads, computation and read-backs run on streams of their own; this process waits for the GPU only
when all buffers are in use. On a CPU there is one batch, and it is computed when it is launched.

Shape legend: B clips of a batch, V crops, T frames, S side in pixels.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from vfeat.extract.encoder import Encoded, Encoder, Outputs
from vfeat.extract.lanes import Lanes

C = TypeVar("C")
Release = Callable[[], None]
GPU_BATCHES = 3


class InFlight(Generic[C]):
    """The batches of one encoder; for one thread.

    Attributes:
        computed_s: seconds in which the model computed: by the GPU's own clock, or wall time.
        hand_over_s: seconds of this thread in copying, launching and reading back.

    Args:
        encoder: the model.
        lanes: streams and memory of its device.
    """

    def __init__(self, encoder: Encoder, lanes: Lanes | None = None) -> None:
        self._encoder = encoder
        self._lanes = lanes or Lanes(encoder.device)
        count = GPU_BATCHES if self._lanes.overlap else 1
        most = encoder.batch_size
        self._free = deque(_Batch[C](encoder, most, self._lanes) for _ in range(count))
        self._filling: _Batch[C] | None = None
        self._flying: deque[_Batch[C]] = deque()
        self._done: deque[tuple[list[C], list[Encoded]]] = deque()
        # Copies on the device that are under way, with what is copied, which must stay until then.
        self._copies: deque[tuple[Any, np.ndarray | Tensor, Release]] = deque()
        self.computed_s = self.hand_over_s = 0.0

    @property
    def waiting(self) -> int:
        """Number of clips that have not been launched."""
        return 0 if self._filling is None else len(self._filling.clips)

    @property
    def is_full(self) -> bool:
        """Whether a whole batch waits to be launched."""
        return self.waiting >= self._encoder.batch_size

    @property
    def is_computing(self) -> bool:
        """Whether the device has something to do, or results have not been taken."""
        return bool(self._flying or self._done or self._copies)

    def put(self, clip: C, frames_VTSSC: np.ndarray | Tensor, release: Release) -> None:
        """Copy a clip into the batch that fills.

        Args:
            clip: comes back with the clip's result.
            frames_VTSSC: uint8, in host memory or on the encoder's GPU.
            release: called as soon as `frames_VTSSC` may be overwritten.
        """
        batch = self._to_fill()
        began = time.perf_counter()
        copied = batch.put(clip, frames_VTSSC)
        if copied is None:
            release()
        else:
            self._copies.append((copied, frames_VTSSC, release))
        self.hand_over_s += time.perf_counter() - began

    def launch(self) -> None:
        """Start the batch that fills."""
        batch, self._filling = self._filling, None
        assert batch is not None
        began = time.perf_counter()
        computed_s = batch.launch()
        self.computed_s += computed_s
        self._flying.append(batch)
        self.hand_over_s += time.perf_counter() - began - computed_s

    def results(self) -> Iterator[tuple[C, Encoded]]:
        """Yield the clips whose results are there, in the order in which they were put."""
        while self._copies and self._copies[0][0].query():
            self._copies.popleft()[2]()
        while self._flying and self._flying[0].is_done():
            self._retire()
        while self._done:
            yield from zip(*self._done.popleft(), strict=True)

    def _to_fill(self) -> _Batch[C]:
        """Return the batch that fills; wait for the oldest one when all are under way."""
        if self._filling is None:
            if not self._free:
                self._flying[0].wait()
                self._retire()
            self._filling = self._free.popleft()
        return self._filling

    def _retire(self) -> None:
        """Take the results of the oldest batch, which is done, and give back its buffers."""
        batch = self._flying.popleft()
        began = time.perf_counter()
        self.computed_s += batch.device_s()
        self._done.append(batch.take())
        self._free.append(batch)
        self.hand_over_s += time.perf_counter() - began


@dataclass
class _Batch(Generic[C]):
    """Buffers of one batch, from the first clip to its results.

    Attributes:
        host_BVTSSC, device_BVTSSC: uint8; the same memory on a CPU.
        clips: those put so far.
        uploaded: clips from the beginning on that are on the device, or on their way.
        outputs: on the device; kept until they have been read back.
        read: where they are read back to, as long as the largest batch so far.
    """

    encoder: Encoder
    most: int
    lanes: Lanes
    host_BVTSSC: Tensor = field(init=False)
    device_BVTSSC: Tensor = field(init=False)
    clips: list[C] = field(default_factory=list)
    uploaded: int = 0
    outputs: Outputs | None = None
    read: Outputs | None = None
    began: Any = None
    computed: Any = None
    done: Any = None

    def __post_init__(self) -> None:
        self.host_BVTSSC = self.lanes.host((self.most, *self.encoder.clip_shape), torch.uint8)
        overlap = self.lanes.overlap
        self.device_BVTSSC = (
            self.lanes.device_like(self.host_BVTSSC) if overlap else self.host_BVTSSC
        )
        self._rows = self.host_BVTSSC.numpy()

    def put(self, clip: C, frames_VTSSC: np.ndarray | Tensor) -> Any:
        """Copy a clip; return the event that ends the copy, or None if it has ended."""
        row = len(self.clips)
        self.clips.append(clip)
        if isinstance(frames_VTSSC, np.ndarray):
            np.copyto(self._rows[row], frames_VTSSC)
            return None
        # The host rows before it go to the device first, so that each row goes there once.
        with self.lanes.on(self.lanes.upload):
            self._upload(row)
            self.device_BVTSSC[row].copy_(frames_VTSSC, non_blocking=True)
        self.uploaded = row + 1
        return self.lanes.mark(self.lanes.upload)

    def _upload(self, end: int) -> None:
        """Copy the host rows up to `end` to the device."""
        rows = slice(self.uploaded, end)
        if self.lanes.overlap and self.uploaded < end:
            self.device_BVTSSC[rows].copy_(self.host_BVTSSC[rows], non_blocking=True)
        self.uploaded = end

    def launch(self) -> float:
        """Upload, compute and read back; return the seconds that this computed in this thread."""
        lanes, count = self.lanes, len(self.clips)
        with lanes.on(lanes.upload):
            self._upload(count)
        lanes.after(lanes.compute, lanes.mark(lanes.upload))
        began = time.perf_counter()
        with lanes.on(lanes.compute):
            self.began = lanes.mark(lanes.compute)
            self.outputs = self.encoder.run(self.device_BVTSSC[:count])
            self.computed = lanes.mark(lanes.compute)
        seconds = 0.0 if lanes.overlap else time.perf_counter() - began
        lanes.after(lanes.read_back, self.computed)
        with lanes.on(lanes.read_back):
            self._read_back(count)
        self.done = lanes.mark(lanes.read_back)
        return seconds

    def _read_back(self, count: int) -> None:
        outputs = self.outputs
        assert outputs is not None
        if not self.lanes.overlap:
            self.read = outputs
            return
        if self.read is None:
            self.read = outputs.each(
                lambda one: self.lanes.host((self.most, *one.shape[1:]), one.dtype)
            )
        targets = iter(one for one in self.read if one is not None)
        outputs.each(lambda one: next(targets)[:count].copy_(one, non_blocking=True))

    def is_done(self) -> bool:
        return self.done is None or bool(self.done.query())

    def wait(self) -> None:
        if self.done is not None:
            self.done.synchronize()

    def device_s(self) -> float:
        """Return the seconds that the GPU computed; 0 without one."""
        if self.computed is None:
            return 0.0
        return float(self.began.elapsed_time(self.computed)) / 1e3

    def take(self) -> tuple[list[C], list[Encoded]]:
        """Return clips and results, and become empty."""
        assert self.read is not None
        count = len(self.clips)
        # On a GPU copied, since the next batch overwrites what was read back.
        copied = Tensor.clone if self.lanes.overlap else Tensor.detach
        outputs = self.read.each(lambda one: copied(one[:count]))
        clips = self.clips
        self.clips, self.uploaded, self.outputs = [], 0, None
        return clips, self.encoder.encoded(outputs)
