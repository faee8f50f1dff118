"""Streams of a GPU, on which uploads, computation and read-backs overlap; their memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


class Lanes:
    """Three streams of a device; without a GPU every step runs at once, in this thread.

    Attributes:
        overlap: whether there are streams.
        upload, compute, read_back: the streams; None without a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.overlap = device.type == "cuda"
        self.upload, self.compute, self.read_back = (self._stream() for _ in range(3))
        if self.overlap:  # the model's weights were put there by another stream
            torch.cuda.synchronize(device)

    def _stream(self) -> Any:
        return torch.cuda.Stream(self._device) if self.overlap else None  # type: ignore[no-untyped-call]

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        """Return a context in which work goes to a stream."""
        return torch.cuda.stream(stream) if self.overlap else nullcontext()

    def mark(self, stream: Any) -> Any:
        """Return an event that comes after all work of a stream so far; None without streams."""
        if not self.overlap:
            return None
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(stream)
        return event

    def after(self, stream: Any, event: Any) -> None:
        """Let a stream's further work begin when an event has come."""
        if self.overlap:
            stream.wait_event(event)

    def host(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Make host memory, page-locked where a GPU copies from and to it."""
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=self.overlap)

    def device_like(self, host: Tensor) -> Tensor:
        """Make memory of the device for a copy of `host`."""
        # Not zeroed: that would be work of another stream than the uploads'.
        return torch.empty_like(host, device=self._device, pin_memory=False)
