"""Decoders that misbehave, named in recipes as `tests.media.hostile:...`.

Each does so at a place in the video, so that a retry meets it again; the one with ONCE in its name
behaves when it does not begin at the video's start, as in a retry.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import time

from vfeat.media.decoders.base import DecodeRequest, Frame
from vfeat.media.decoders.pyav import PyavDecoder

AT_S = 2.1


class _At(PyavDecoder):
    """Misbehaves when it reaches AT_S in the file whose name holds `cfr25_bframes`."""

    def __init__(self, request: DecodeRequest) -> None:
        super().__init__(request)
        self._line = request.timeline
        self._named = "cfr25_bframes" in request.source.uri

    def read(self) -> Frame | None:
        frame = super().read()
        if frame is not None and self._named:
            shown_s = (frame.tick - self._line.origin_tick) * self._line.tick_s
            if shown_s >= AT_S:
                self.misbehave()
        return frame

    def misbehave(self) -> None:
        raise NotImplementedError


class Segfault(_At):
    def misbehave(self) -> None:
        ctypes.string_at(0)


class Abort(_At):
    def misbehave(self) -> None:
        os.abort()


class AbortOnce(_At):
    asked: int | None = None

    def skip_to(self, tick: int) -> None:
        if self.asked is None:
            self.asked = tick - self._line.origin_tick
        super().skip_to(tick)

    def misbehave(self) -> None:
        assert self.asked is not None
        if self.asked * self._line.tick_s < 1:
            os.abort()


class Hang(_At):
    def misbehave(self) -> None:
        ctypes.CDLL(None).sleep(1000)  # in C: no signal handler of Python would run


class Slow(_At):
    """Slower than any time-out, and alive all the time."""

    def misbehave(self) -> None:
        time.sleep(0.05)


class Greedy(_At):
    def misbehave(self) -> None:
        bytearray(1 << 40)


class Buggy(_At):
    def misbehave(self) -> None:
        raise KeyError("a bug")


class Leave(_At):
    def misbehave(self) -> None:
        os._exit(7)


class Busy(_At):
    """Turns in a circle, and says that it is alive all the time."""

    def misbehave(self) -> None:
        while True:
            self._request.progress(1)
            time.sleep(0.001)


class Liar(_At):
    """Claims to get further all the time."""

    def misbehave(self) -> None:
        for reached in itertools.count(1 << 40):
            self._request.progress(reached)
            time.sleep(0.001)


class Circle(_At):
    """Gives the same frames again and again."""

    def read(self) -> Frame | None:
        frame = super().read()
        if frame is None and self._named:
            self._reader.rewind()
            self._start_reading()
            return self.read()
        return frame

    def misbehave(self) -> None:
        self._reader.rewind()
        self._start_reading()


class Crawl(_At):
    """Gives ever later frames, each later by less and less of what is asked for."""

    crawled = 0

    def read(self) -> Frame | None:
        if not self.crawled:
            frame = super().read()
            if frame is None or not self.crawled:
                return frame
            self._stuck = frame
        self.crawled += 1
        time.sleep(0.02)
        tick = self._stuck.tick + self.crawled // 16
        return Frame(tick, self._stuck.to_rgb)

    def misbehave(self) -> None:
        self.crawled = 1


class Spin(_At):
    """Burns CPU time in C, and never comes back."""

    def misbehave(self) -> None:
        pow(3, 1 << 40, 1 << (1 << 24))
