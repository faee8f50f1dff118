"""The clock of a stream: the true time of each packet, in decoding order.

Time stamps go wrong in four ways, and each has its own remedy. All of them are decided from the
packets, by looking at most LOOKAHEAD packets ahead, so that a scan, a decoder and any entry in
mid-video come to the same times.

- *Wild*: one packet, or a few, are hours early or late, and the packets after them go on
  as if nothing had been. Only these packets lose their time.
- *Restart*: the clock steps back and stays there (joined recordings, an encoder that was
  started again, the second wrap of 33 bits). The line is continued: the new part begins
  where the part before it ended.
- *Gap*: the clock jumps forward and stays there. That is a real gap, and is kept.
- *Missing*: packets without a time pass through without one.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil
from typing import Generic, NamedTuple, Protocol, TypeVar

# A step back in decoding time by more than this is a new start, not a reordering.
RESTART_S = Fraction(1, 2)
# A picture may precede, in decoding order, this many pictures that are shown before it.
MAX_REORDER = 16
LOOKAHEAD = MAX_REORDER + 1
# Longest run of wild packets; as many behind it show that the line goes on.
MAX_BURST = LOOKAHEAD // 2
_LEAD_S = Fraction(1)


class Stamped(Protocol):
    """A packet's own times, in ticks; None where the container has none."""

    @property
    def pts(self) -> int | None: ...

    @property
    def dts(self) -> int | None: ...

    @property
    def duration(self) -> int | None: ...


P = TypeVar("P", bound=Stamped)


class Timed(NamedTuple, Generic[P]):
    """A packet with its place on the continued line; a tuple, since there is one for each packet.

    Attributes:
        packet: as it came.
        pts, dts: ticks on the continued line; None where the packet has none.
        wild: the packet's own time cannot be right; its picture must not be shown.
    """

    packet: P
    pts: int | None
    dts: int | None
    wild: bool = False


class Clock(Generic[P]):
    """Times of one stream's packets; feed them in decoding order.

    Attributes:
        restarts: how often the clock started again so far.
        wild: packets so far whose time cannot be right.
        end: largest tick of the line at which a picture's display ends; None before the first.
    """

    def __init__(
        self, tick_s: Fraction, interval: int, reorder: int, *, continues: bool = True
    ) -> None:
        """Start a clock.

        Args:
            tick_s: seconds per tick.
            interval: typical number of ticks between two pictures; at least 1.
            reorder: pictures that the codec holds back, from its header; 0 if unknown.
            continues: a step back that stays moves the line. It must be False where a video is
                entered in the middle: the entry itself may stand on a wild time.
        """
        self.restarts = 0
        self.wild = 0
        self.end: int | None = None
        self._interval = max(interval, 1)
        self._reorder = reorder
        self._continues = continues
        self._slack = max(ceil(RESTART_S / tick_s), 1)
        self._lead = max(ceil(_LEAD_S / tick_s), (MAX_REORDER + 4) * self._interval)
        self._shift = 0
        self._top: int | None = None  # latest tick of the line at which a picture begins
        self._previous: int | None = None  # decoding time of the last packet with a sane one

    def times(self, packets: Iterable[P]) -> Iterator[Timed[P]]:
        """Yield every packet once, in order, and read ahead only where a time is suspicious."""
        source = iter(packets)
        ahead: deque[P] = deque()
        wild_until = 0  # number of packets at the head of the queue that are wild
        while (packet := _next(ahead, source)) is not None:
            if wild_until:
                wild_until -= 1
                yield self._without_time(packet)
                continue
            # Only the packets behind a jump distinguish a wild time from a gap or a restart.
            if self._jumps(packet):
                _fill(ahead, source)
                if burst := self._burst(packet, ahead):
                    wild_until = burst - 1
                    yield self._without_time(packet)
                    continue
                self._take_over(packet, ahead)
            if self._leads(packet):
                _fill(ahead, source)
                if not self._is_reached(packet, ahead):
                    self._previous = packet.dts
                    yield self._without_time(packet)
                    continue
            yield self._with_time(packet)

    def _jumps(self, packet: P) -> bool:
        """Return whether decoding time leaves the line here."""
        dts, previous = packet.dts, self._previous
        if dts is None or previous is None:
            return False
        return not -self._slack < dts - previous <= self._slack

    def _burst(self, packet: P, ahead: deque[P]) -> int:
        """Count the wild packets from this one on; 0 when the new time is to stay.

        They are wild when one of the packets soon after resumes the line where it was left.
        """
        assert packet.dts is not None and self._previous is not None
        away = packet.dts - self._previous
        known = [(0, packet.dts)]
        known += [(n, p.dts) for n, p in enumerate(ahead, start=1) if p.dts is not None]
        steps = [after - before for (_, before), (_, after) in itertools.pairwise(known)]
        for number, back in enumerate(steps):
            place, time = known[number + 1]
            if place > MAX_BURST and len(ahead) == LOOKAHEAD:
                return 0  # too few packets behind it to tell a return from another wild time
            # A step of the usual length is no return: slow clocks make long steps too.
            is_long = back * away < 0 and 2 * abs(back) > abs(away)
            if not is_long or (packet.dts - time) * away <= 0:
                continue
            # Nor is a step that is soon taken back: then what lies between is wild itself.
            if any(step * away > 0 and 2 * abs(step) > abs(back) for step in steps[number + 1 :]):
                return 0
            return place if time > self._previous - self._slack else 0
        return 0

    def _take_over(self, packet: P, ahead: deque[P]) -> None:
        """Accept a time that stays: a gap as it is, a restart at the end of the line."""
        assert packet.dts is not None and self._previous is not None
        # A gap keeps its times, and so does any step in a video that was entered in the middle.
        if packet.dts > self._previous or not self._continues:
            return
        begins = (p.pts for p in (packet, *ahead) if p.pts is not None and not self._leads(p))
        # The new part begins with its earliest picture, which need not be its first packet.
        self._shift = (self.end or 0) - min(begins, default=packet.dts)
        self.restarts += 1

    def _leads(self, packet: P) -> bool:
        """Return whether a picture is shown implausibly long after its decoding, or before it."""
        pts, dts = packet.pts, packet.dts
        if pts is None or dts is None:
            return False
        return not -self._slack <= pts - dts <= self._lead

    def _is_reached(self, packet: P, ahead: deque[P]) -> bool:
        """Return whether decoding soon arrives at the picture's time, as it does around a gap."""
        assert packet.pts is not None and packet.dts is not None
        if packet.pts < packet.dts:
            return False
        known = [later.dts for later in ahead if later.dts is not None]
        if any(packet.pts - dts <= self._lead for dts in known):
            return True
        # At the end of the file: only as many packets may follow as the codec holds back.
        return len(ahead) < LOOKAHEAD and len(known) <= self._reorder

    def _without_time(self, packet: P) -> Timed[P]:
        self.wild += 1
        return Timed(packet, None, None, wild=True)

    def _with_time(self, packet: P) -> Timed[P]:
        pts, dts, shift = packet.pts, packet.dts, self._shift
        if dts is not None:
            self._previous = dts
            dts += shift
        if pts is not None:
            pts += shift
            if self._top is None or pts >= self._top:
                self._top = pts
                self.end = pts + (packet.duration or self._interval)
        return Timed(packet, pts, dts)


def _next(ahead: deque[P], source: Iterator[P]) -> P | None:
    return ahead.popleft() if ahead else next(source, None)


def _fill(ahead: deque[P], source: Iterator[P]) -> None:
    """Read on until LOOKAHEAD packets wait."""
    while len(ahead) < LOOKAHEAD and (packet := next(source, None)) is not None:
        ahead.append(packet)
