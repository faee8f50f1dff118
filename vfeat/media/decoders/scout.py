"""A second reader of a video that finds where a seek would land."""

from __future__ import annotations

from math import ceil

from vfeat.media.container import Opened
from vfeat.media.packets import PacketReader
from vfeat.media.source import Progress, Source

_STEP_S = 2


class Scout:
    """Finder of keyframes by the container's own seeking, without moving the decoder.

    Containers with an index land on a keyframe: one packet is read. In the others (transport and
    program streams) the packets from the landing on are searched, and no packet twice: each search
    further back ends where the one before it began.
    """

    def __init__(self, source: Source, max_pixels: int, progress: Progress) -> None:
        """Open the video once more.

        Raises:
            UnitError: as `Opened` does.
        """
        self._opened = Opened(source, max_pixels)
        self._reader = PacketReader(self._opened, progress, continues=False)
        self._step = ceil(_STEP_S / self._opened.tick_s)
        self.lands_on_keyframes = True

    def find(self, tick: int, position: int) -> int | None:
        """Find a seek target behind `position` from which a keyframe at or before `tick` comes.

        Args:
            tick, position: in ticks; `position` is where the decoder stands.

        Returns:
            The target, or None if no keyframe lies between: then decoding on is cheaper.
        """
        target, until, step = tick, tick, self._step
        while target > position:
            keyframe = self._keyframe(target, until)
            if keyframe is not None and keyframe <= tick:
                return target if keyframe > position else None
            # Landed between keyframes: search the packets before the landing.
            until, target, step = target, target - step, step * 3 // 2
        return None

    def _keyframe(self, target: int, until: int) -> int | None:
        """Return the tick of the first keyframe after a landing; None if none comes by `until`."""
        if not self._reader.seek(target):
            return None
        candidate: int | None = None
        is_first = True
        for timed in self._reader.packets():
            shown = timed.dts if timed.dts is not None else timed.pts
            if candidate is not None:
                # A keyframe whose neighbour is far away stands on a wild time, or before a gap.
                if shown is None or shown - candidate <= self._step:
                    return candidate
                candidate = None
            if timed.packet.packet.is_keyframe and timed.pts is not None:
                candidate = timed.pts
            elif is_first:
                self.lands_on_keyframes = False
            is_first = False
            if candidate is None and shown is not None and shown > until:
                return None
        return candidate

    def close(self) -> None:
        """Close the video."""
        self._reader.close()
        self._opened.close()
