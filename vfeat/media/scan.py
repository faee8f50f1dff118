"""A video's packets, read without decoding: times, keyframes, ends."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

import av.error
import numpy as np

from vfeat.media.container import Opened, is_io, out_of_memory
from vfeat.media.source import Progress, storage_failure
from vfeat.media.timeline import RESTART_S, Ticks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from av.packet import Packet

    AnyPacket = Packet[Any]


@dataclass(frozen=True)
class Scan:
    """What the packets of the video stream promise.

    Attributes:
        ticks: presentation ticks in order, on one continued line; discarded packets
            (edit lists) do not count.
        end_tick: end of the last packet's display.
        interval: ticks between two frames, typically; at least 1.
        n_keyframes: packets that a decoder can start at.
        n_discarded: packets that an edit list hides.
        timed: whether packets carry times; if not, ticks are counted up.
        restarts: how often time starts again in mid-stream.
        others_end_s: where the latest packet of any other stream ends.
    """

    ticks: Ticks
    end_tick: int
    interval: int
    n_keyframes: int
    n_discarded: int
    timed: bool
    restarts: int
    others_end_s: Fraction


def packets(opened: Opened, every_stream: bool = False) -> Iterator[AnyPacket]:
    """Packets until the end or the first one that cannot be read; no flush packet.

    Raises:
        UnitError: storage or too_large.
    """
    streams = () if every_stream else (opened.stream,)
    try:
        for packet in opened.container.demux(*streams):
            if packet.size or packet.dts is not None or packet.pts is not None:
                yield packet
    except MemoryError as error:
        raise out_of_memory(opened.source.uri) from error
    except Exception as error:
        if is_io(error):
            raise storage_failure(opened.source.uri, error) from error
        if not isinstance(error, av.error.FFmpegError):
            raise


def scan(opened: Opened, progress: Progress) -> Scan:
    """Read all packets of all streams from where the container stands (its start)."""
    collected = _Collected(floor(RESTART_S / opened.tick_s))
    index = opened.stream.index
    for packet in packets(opened, every_stream=True):
        progress()
        if packet.stream_index == index:
            collected.add(packet)
        else:
            collected.add_other(packet)
    return collected.scan(interval_of(opened))


def interval_of(opened: Opened) -> int:
    """Ticks between two frames by the header's frame rate; 0 if it gives none."""
    rate = opened.stream.average_rate or opened.stream.guessed_rate
    return round(1 / (rate * opened.tick_s)) if rate else 0


class _Collected:
    """Packets of one pass, in segments that end where time starts again."""

    def __init__(self, restart_ticks: int) -> None:
        self._restart_ticks = restart_ticks
        self._segments: list[Ticks] = []
        self._ticks = array("q")
        self._segment_end = 0
        self._end: int | None = None  # of the line so far
        self._previous_dts: int | None = None
        self._untimed = array("q")  # display lengths of packets without a time
        self._others_end_s = Fraction(0)
        self._keyframes = self._discarded = 0

    def add(self, packet: AnyPacket) -> None:
        if packet.is_discard:
            self._discarded += 1
            return
        self._keyframes += packet.is_keyframe
        if packet.pts is None:
            self._untimed.append(packet.duration or 0)
            return
        dts = packet.dts
        if dts is not None:
            before = self._previous_dts
            if before is not None and dts < before - self._restart_ticks:
                self._close_segment()
            self._previous_dts = dts
        self._ticks.append(packet.pts)
        self._segment_end = max(self._segment_end, packet.pts + (packet.duration or 0))

    def add_other(self, packet: AnyPacket) -> None:
        if packet.pts is not None and packet.time_base:
            end_s = (packet.pts + (packet.duration or 0)) * packet.time_base
            self._others_end_s = max(self._others_end_s, end_s)

    def _close_segment(self) -> None:
        if not self._ticks:
            return
        ticks = np.sort(np.array(self._ticks, dtype=np.int64))
        shift = 0 if self._end is None else self._end - int(ticks[0])
        self._segments.append(ticks + shift)
        self._end = max(self._segment_end, int(ticks[-1]) + 1) + shift
        self._ticks, self._segment_end = array("q"), 0

    def scan(self, header_interval: int) -> Scan:
        self._close_segment()
        timed = bool(self._segments) or not self._untimed
        if timed:
            ticks = np.concatenate([*self._segments, np.empty(0, np.int64)]).astype(np.int64)
            end = self._end or 0
        else:
            lengths = np.array(self._untimed, dtype=np.int64)
            lengths[lengths <= 0] = max(header_interval, 1)
            ticks, end = np.cumsum(lengths) - lengths, int(lengths.sum())
        steps = np.diff(ticks)
        interval = int(np.median(steps)) if len(steps) else header_interval
        if len(ticks) and end <= int(ticks[-1]) + 1:
            # Packets without a length (ASF): the last one lasts as long as the others.
            end = int(ticks[-1]) + max(interval, 1)
        restarts = max(0, len(self._segments) - 1)
        return Scan(
            ticks,
            end,
            max(interval, 1),
            self._keyframes,
            self._discarded,
            timed,
            restarts,
            self._others_end_s,
        )
