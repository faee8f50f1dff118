"""Decoders that leak or lie, beside the crashing, hanging and slow ones of the engine's tests."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from tests.engine.faults import faulty
from vfeat.media.decoders.base import RGB, Decoder, DecodeRequest, Frame
from vfeat.media.decoders.pyav import PyavDecoder

_LEAK_BYTES = 256 << 20  # at a time, never touched: address space is what a child's limit counts


def planted(request: DecodeRequest) -> Decoder:
    """`leak*` takes memory until there is none, `lie*` gives pictures of another form."""
    name = os.path.basename(request.source.uri)
    if name.startswith("leak"):
        return Leaking(request)
    if name.startswith("lie"):
        return Lying(request)
    return faulty(request)


class Leaking(PyavDecoder):
    """A decoder that never frees anything."""

    def __init__(self, request: DecodeRequest) -> None:
        super().__init__(request)
        self._leaked: list[object] = []

    def read(self) -> Frame | None:
        while True:
            self._leaked.append(np.empty(_LEAK_BYTES, np.uint8))


class Lying(PyavDecoder):
    """A decoder whose pictures are not what their frames promise."""

    def read(self) -> Frame | None:
        frame = super().read()
        return None if frame is None else Frame(frame.tick, _floats(frame.to_rgb), frame.sar)


def _floats(to_rgb: Callable[[], RGB]) -> Callable[[], RGB]:
    """Return a function whose pictures have no colours and the wrong type."""
    return lambda: to_rgb()[..., 0].astype(np.float64)  # type: ignore[return-value]
