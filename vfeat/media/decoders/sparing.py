"""Packets whose pictures nobody needs: no clip takes them, and no other picture is made from them.

Which pictures no other is made from, FFmpeg decides (`skip_frame`); here it is decided which of
them no sample shows. That rests on the packets' times, so everything is decoded where these could
be wrong: for a while behind a time that breaks the step of its neighbours, and for good, from the
last place that proved right, once a packet comes late, a picture is missing or out of order, or the
decoder complains.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import av.logging

from vfeat.media.clock import LOOKAHEAD, MAX_REORDER
from vfeat.media.decoders.av1_headers import read_sequence, refreshes_nothing
from vfeat.media.decoders.decode_times import has_display_times
from vfeat.media.decoders.parameter_sets import h264_frames_only, hevc_single_layer

if TYPE_CHECKING:
    from vfeat.media.clock import Timed
    from vfeat.media.container import Opened
    from vfeat.media.packets import AnyPacket, Read
    from vfeat.media.samples import Samples

    Coming = tuple[Timed[Read], bool]  # True with the first packet after a gap
    Judged = tuple[Timed[Read], bool, bool]  # True with a picture that nobody needs

# A time that the clock lets pass is wrong by less than this, or by so many pictures.
_DOUBT_S, _DOUBT_STEPS = Fraction(1), MAX_REORDER + 4
_KEPT = 64


class Doubt(Exception):
    """The stream is not as its packets show: from here on, all of it is to be decoded."""


def sparing(opened: Opened, samples: Samples) -> Sparing | None:
    """Return the judge of a stream's packets; None where, by its header, all must be decoded."""
    context, tick_s = opened.stream.codec_context, opened.tick_s
    codec = context.codec
    if codec.intra_only:
        return Sparing(samples, tick_s, lambda _: True)
    if codec.canonical_name == "av1":
        sequence = read_sequence(context.extradata)
        if sequence is None:
            return None
        return Sparing(samples, tick_s, lambda packet: refreshes_nothing(bytes(packet), sequence))
    if not has_display_times(opened) or not context.reorder_depth:
        return None
    if codec.name == "h264":
        is_fit = h264_frames_only(context.extradata)
    elif codec.name == "hevc":
        is_fit = hevc_single_layer(context.extradata)
    else:
        is_fit = codec.name in ("mpeg1video", "mpeg2video", "mpeg4")
    return Sparing(samples, tick_s) if is_fit else None


class Sparing:
    """Judge of a stream's packets, from one place of entry on.

    Attributes:
        drops: what is spared does not reach the decoder at all; otherwise the decoder itself leaves
            out the pictures that no other is made from.

    Args:
        samples: the moments at which pictures are taken.
        tick_s: seconds per tick.
        is_last: of streams without a reordering: returns whether no other picture is made from that
            of a packet.
    """

    def __init__(
        self, samples: Samples, tick_s: Fraction, is_last: Callable[[AnyPacket], bool] | None = None
    ) -> None:
        self._samples = samples
        self._doubt = ceil(_DOUBT_S / tick_s)
        self._is_last = is_last
        self.drops = is_last is not None
        self._complaints = av.logging.get_last_error()[0]
        self.enter()

    def enter(self) -> None:
        """Forget what came before: the packets that follow are those of another place."""
        self._since: int | None = None
        self._coming: list[int] = []  # times of packets that others may still precede
        self._known: list[int] = []  # the latest times in order, with nothing missing in between
        self._step: int | None = None
        self._even_from: int | None = None
        self._top: int | None = None  # latest time of the packets that were judged
        self._due: list[int] = []  # times of pictures that the decoder must return
        self._shown: int | None = None

    def enter_behind(self, tick: int) -> None:
        """Begin in mid-stream: packets up to `tick` were not judged."""
        self._since = tick

    def judged(self, packets: Iterator[Coming]) -> Iterator[Judged]:
        """Yield the packets, each once it is clear whether a sample shows its picture.

        Raises:
            Doubt: a packet comes later than the times before it allow, or lacks bytes.
        """
        waiting: deque[Coming] = deque()
        for timed, gap in packets:
            if gap:  # nobody needs what comes before it
                waiting.clear()
                self.enter()
            self._note(timed)
            waiting.append((timed, gap))
            while waiting and (len(waiting) > LOOKAHEAD or self._is_clear(waiting[0][0])):
                head, first = waiting.popleft()
                yield head, first, self._is_spare(head)
        for head, first in waiting:
            yield head, first, False

    def _note(self, timed: Timed[Read]) -> None:
        pts, dts = timed.pts, timed.dts
        if timed.packet.packet.is_corrupt:
            raise Doubt
        if pts is None or dts is None:
            self._even_from = self._known[-1] if self._known else None
            return
        if self._since is not None and pts <= self._since:
            return  # among its neighbours are some that were not seen
        if self._known and pts <= self._known[-1]:
            raise Doubt
        insort(self._coming, pts)
        # A picture is shown no earlier than it is decoded: no later packet precedes these.
        passed = bisect_right(self._coming, dts)
        for tick in self._coming[:passed]:
            self._pass(tick)
        del self._coming[:passed]

    def _pass(self, tick: int) -> None:
        if self._known:
            step, before = tick - self._known[-1], self._step
            if before is not None and not (2 * before < 3 * step and 2 * step < 3 * before):
                self._even_from = tick
            self._step = step
        self._known.append(tick)
        if len(self._known) > 2 * _KEPT:
            del self._known[:_KEPT]

    def _is_clear(self, timed: Timed[Read]) -> bool:
        """Return whether all times up to the pictures are known that this one can be made from."""
        if timed.pts is None:
            return True
        latest = timed.pts if self._top is None else max(self._top, timed.pts + 1)
        return bool(self._known) and self._known[-1] >= latest

    def _is_spare(self, timed: Timed[Read]) -> bool:
        packet, tick, top = timed.packet.packet, timed.pts, self._top
        if tick is None:
            return False
        is_clear = self._is_clear(timed)
        self._top = tick if top is None else max(top, tick)
        # Of a stream that reorders, only what is shown before a picture that came earlier.
        if (
            top is None
            or not is_clear
            or not (self.drops or (tick < top and not packet.is_keyframe))
        ):
            return False
        place = bisect_right(self._known, tick)
        if place == 0 or self._known[place - 1] != tick or self._is_doubtful(tick):
            return False
        if self._samples.any_in(tick, self._known[place]):
            return False
        return self._is_last is None or self._is_last(packet)

    def needed_from(self, position: int, tick: int) -> int:
        """Return the next moment that matters once the frame at `position` is there.

        Args:
            position: tick of the last frame that was returned.
            tick: the first moment whose frame may still be to come.
        """
        place = bisect_right(self._known, position)
        if not 0 < place < len(self._known) or self._known[place - 1] != position:
            return tick
        if not position <= tick < self._known[place] or self._is_doubtful(position):
            return tick
        following = self._samples.next_from(self._known[place])
        return tick if following is None else following

    def _is_doubtful(self, tick: int) -> bool:
        if self._even_from is None or self._step is None:
            return False
        return tick < self._even_from + max(self._doubt, _DOUBT_STEPS * self._step)

    def given(self, tick: int | None) -> None:
        """Record the time of a picture that the decoder must return."""
        if tick is not None:
            insort(self._due, tick)

    def came(self, tick: int | None) -> bool:
        """Check a picture that the decoder returns; return whether it follows the one before.

        Raises:
            Doubt: it is out of order, one before it is missing, or the decoder complains.
        """
        shown = self._shown
        if tick is None or (shown is not None and tick <= shown):
            raise Doubt
        passed = bisect_right(self._due, tick)
        before = self._due[:passed]
        del self._due[:passed]
        # Pictures before the first one belong to a group whose beginning was not read.
        if shown is not None and any(due != tick for due in before):
            raise Doubt
        self._shown = tick
        self.check()
        return shown is not None

    def ended(self) -> bool:
        """Check that all pictures came; return whether there were any.

        Raises:
            Doubt: some did not.
        """
        if self._shown is not None and self._due:
            raise Doubt
        self.check()
        return self._shown is not None

    def check(self) -> None:
        """Check that the decoder has nothing to complain about.

        Raises:
            Doubt: it has.
        """
        if av.logging.get_last_error()[0] != self._complaints:
            raise Doubt
