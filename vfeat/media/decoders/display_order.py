"""Frames in the order of their times, whatever order a decoder returns them in.

A decoder returns pictures in the order in which they are shown. So a time that breaks the order
belongs to a picture with a wrong time: a picture that is late is followed by two or more earlier
ones, one that is early (or was returned too late) by a later one. Either way one picture is left
out, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vfeat.media.decoders.base import Frame

# Consecutive frames that lead nowhere, after which a decoder is given up.
MAX_STALLED = 4096


class StalledDecoder(Exception):
    """The decoder returns frame after frame and never a later one."""


def in_display_order(read: Callable[[], Frame | None]) -> Iterator[Frame]:
    """Yield frames whose ticks never decrease.

    Args:
        read: returns the next frame, or None at the end.

    Raises:
        StalledDecoder: MAX_STALLED frames in a row were no later than the latest before.
    """
    held: Frame | None = None  # not yet yielded: the next frame may prove it late
    doubt: Frame | None = None  # earlier than `held`: one of the two has a wrong time
    top: int | None = None
    latest: int | None = None
    stalled = 0
    while (frame := read()) is not None:
        stalled = 0 if latest is None or frame.tick > latest else stalled + 1
        latest = frame.tick if latest is None else max(latest, frame.tick)
        if stalled > MAX_STALLED:
            raise StalledDecoder
        if top is not None and frame.tick < top:
            continue  # early: its place has passed
        if doubt is not None and held is not None:
            if doubt.tick <= frame.tick < held.tick:
                held = doubt  # two frames contradict it
            doubt = None
        if held is not None and frame.tick < held.tick:
            doubt = frame
            continue
        if held is not None:
            top = held.tick
            yield held
        held = frame
    if held is not None:
        yield held
