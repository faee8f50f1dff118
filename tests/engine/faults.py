"""Decoders that crash or hang on purpose, in the child, for real; chosen by `--decoder`.

They act on files whose name says so and pass everything else to PyAV.
"""

from __future__ import annotations

import builtins
import ctypes
import os
import sys
import time

from vfeat.media.decoders.base import Decoder, DecodeRequest, Frame
from vfeat.media.decoders.pyav import PyavDecoder


def faulty(request: DecodeRequest) -> Decoder:
    """`crash*` reads address 0, `hang*` never comes back, `slow*` takes its time,
    `heal*` ends its process until there is a file `healed` beside it.
    `raise_X*` raises X when it opens, `late_X*` at its second frame,
    `gate*` waits for the file `healed`.
    `node*` reads address 0 on a node whose Python looks for modules in a folder `bad-node`,
    and takes its time on others.
    """
    name = os.path.basename(request.source.uri)
    if name.startswith("crash"):
        ctypes.string_at(0)
    if name.startswith("node"):
        _break_on_bad_node()
    if name.startswith("hang"):
        time.sleep(3600)
    healed = os.path.join(os.path.dirname(request.source.uri), "healed")
    if name.startswith("heal") and not os.path.exists(healed):
        os._exit(9)
    if name.startswith("raise_"):
        raise getattr(builtins, name.split("_")[1])(name)
    if name.startswith("late_"):
        return Late(request, getattr(builtins, name.split("_")[1]))
    while name.startswith("gate") and not os.path.exists(healed):
        time.sleep(0.1)
    if name.startswith("slow"):
        time.sleep(1.0)
    return PyavDecoder(request)


def _break_on_bad_node() -> None:
    if any(path.endswith("bad-node") for path in sys.path):
        ctypes.string_at(0)
    time.sleep(2.0)


class Late(PyavDecoder):
    """A decoder that raises at its second frame."""

    def __init__(self, request: DecodeRequest, error: type[BaseException]) -> None:
        super().__init__(request)
        self._left, self._error = 1, error

    def read(self) -> Frame | None:
        self._left -= 1
        if self._left < 0:
            raise self._error("at the second frame")
        return super().read()
