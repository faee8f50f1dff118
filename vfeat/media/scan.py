"""A video's packets, read without decoding: times, keyframes, ends."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from vfeat.media.packets import PacketReader
from vfeat.media.timeline import Ticks

if TYPE_CHECKING:
    from vfeat.media.clock import Timed
    from vfeat.media.container import Opened
    from vfeat.media.packets import AnyPacket, Read
    from vfeat.media.source import Progress


@dataclass(frozen=True)
class Scan:
    """Summary of the packets of the video stream.

    Attributes:
        ticks: presentation ticks in order, on one continued line; discarded packets (edit lists)
            and packets whose time cannot be right do not count.
        end_tick: end of the last packet's display.
        interval: typical number of ticks between two frames; at least 1.
        n_keyframes: packets that a decoder can start at.
        n_discarded: packets that an edit list hides.
        n_wild: packets whose time cannot be right.
        timed: packets carry times; if not, ticks are counted up.
        restarts: how often time, or the stream itself, starts again in mid-video.
        others_end_s: end of the latest packet of any other stream, seconds.
        is_cut: the last packet lacks bytes.
        unread_share: bytes behind the last packet of any stream, as a share of all bytes.
        warnings: sentences on what could not be read.
    """

    ticks: Ticks
    end_tick: int
    interval: int
    n_keyframes: int
    n_discarded: int
    n_wild: int
    timed: bool
    restarts: int
    others_end_s: Fraction
    is_cut: bool
    unread_share: float
    warnings: tuple[str, ...]


def scan(opened: Opened, progress: Progress) -> Scan:
    """Read all packets of all streams from where the container stands.

    Raises:
        UnitError: storage or too_large.
    """
    collected = _Collected()
    header_interval = opened.interval
    reader = PacketReader(opened, progress, on_other=collected.add_other)
    try:
        for timed in reader.packets():
            collected.add(timed)
        return collected.scan(reader, header_interval)
    finally:
        reader.close()


class _Collected:
    """Packets of one pass."""

    def __init__(self) -> None:
        self._ticks = array("q")
        self._untimed = array("q")  # display lengths of packets without a time
        self._others_end_s = Fraction(0)
        self._keyframes = self._discarded = 0
        self._is_corrupt = False
        self._last_byte = 0

    def add(self, timed: Timed[Read]) -> None:
        packet = timed.packet.packet
        self._pass(packet, timed.packet.opened.first_byte)
        self._is_corrupt = packet.is_corrupt
        if packet.is_discard:
            self._discarded += 1
            return
        self._keyframes += packet.is_keyframe
        if timed.pts is not None:
            self._ticks.append(timed.pts)
        elif not timed.wild:
            self._untimed.append(packet.duration or 0)

    def _pass(self, packet: AnyPacket, first_byte: int = 0) -> None:
        if packet.pos is not None:
            self._last_byte = max(self._last_byte, first_byte + packet.pos + packet.size)

    def add_other(self, packet: AnyPacket) -> None:
        self._pass(packet)
        if packet.pts is not None and packet.time_base:
            end_s = (packet.pts + (packet.duration or 0)) * packet.time_base
            self._others_end_s = max(self._others_end_s, end_s)

    def scan(self, reader: PacketReader, header_interval: int) -> Scan:
        clock = reader.clock
        timed = len(self._ticks) > 0 or not self._untimed
        if timed:
            ticks = np.sort(np.array(self._ticks, dtype=np.int64))
            end = clock.end or 0
        else:
            lengths = np.array(self._untimed, dtype=np.int64)
            lengths[lengths <= 0] = max(header_interval, 1)
            ticks, end = np.cumsum(lengths) - lengths, int(lengths.sum())
        steps = np.diff(ticks)
        interval = int(np.median(steps)) if len(steps) else header_interval
        if len(ticks) and end <= int(ticks[-1]) + 1:
            # Packets without a length (ASF): the last one lasts as long as the others.
            end = int(ticks[-1]) + max(interval, 1)
        opened = reader.opened
        size_bytes = opened.first_byte + opened.container.size
        unread = max(0, size_bytes - self._last_byte) / size_bytes if self._last_byte else 0.0
        return Scan(
            ticks,
            end,
            max(interval, 1),
            self._keyframes,
            self._discarded,
            clock.wild,
            timed,
            clock.restarts + reader.parts - 1,
            self._others_end_s,
            self._is_corrupt,
            unread,
            tuple(reader.warnings),
        )
