"""What the packets of one video show: its times, and what decoding it will take.

Plain records, written into plans and footers as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

MOST_CUTS = 20_000  # of a video: so many fit into one message to a decoder child


@dataclass(frozen=True)
class Timeline:
    """The times of a video that a plan needs to lay the clip grid over it.

    Attributes:
        num, den: one tick is num/den seconds.
        origin_tick: tick of the first presented frame; the grid's time 0.
        duration_ticks: from the origin to the end of the last frame's display.
        n_frames: frames from the origin on, counted from packets or given by the header.
        restarts: time starts again in mid-stream: decode from the start, never seek.
        cuts: ticks after the origin at which a shot begins, but for the first; empty unless the
            recipe lays clips on shots.
    """

    num: int
    den: int
    origin_tick: int
    duration_ticks: int
    n_frames: int
    restarts: bool = False
    cuts: tuple[int, ...] = ()

    @property
    def tick_s(self) -> Fraction:
        """Seconds per tick, exact."""
        return Fraction(self.num, self.den)

    @property
    def duration_s(self) -> Fraction:
        """Seconds from the first frame to the end of the last one, exact."""
        return self.duration_ticks * self.tick_s

    @property
    def end_tick(self) -> int:
        """First tick after the last frame's display."""
        return self.origin_tick + self.duration_ticks


@dataclass(frozen=True)
class Probe:
    """What is known of one video before it is decoded.

    Attributes:
        container, codec: FFmpeg's names.
        width, height: of the displayed (rotated) picture, pixels.
        rotation: counter-clockwise degrees that the display adds to the stored picture.
        timeline: origin, time base and duration, exact.
        n_clips: clips that the recipe plans.
        n_empty: of these, known to have no frame of their own; 0 if not scanned.
        decode_s: estimated CPU seconds to decode all clips.
        scanned: whether every packet was seen; if not, counts are the header's.
        gaps: long ranges (first, last) of the empty clips.
        group_s: seconds between two keyframes, on average; 0 if unknown.
        warnings: for the run's report, one sentence each.
    """

    container: str
    codec: str
    width: int
    height: int
    rotation: int
    timeline: Timeline
    n_clips: int
    n_empty: int
    decode_s: float
    scanned: bool
    gaps: tuple[tuple[int, int], ...] = ()
    group_s: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return float(self.timeline.duration_s)

    def ranges(self, first: int, last: int, step: int) -> Iterator[tuple[int, int]]:
        """Cut clips first..last into ranges of `step` clips outside the long gaps.

        A long gap costs nothing and is not cut: it belongs to the range that ends in it.

        Yields:
            Inclusive (first, last) of each range, in order.
        """
        gaps = [(max(a, first), min(b, last)) for a, b in self.gaps if a <= last and b >= first]
        start = first
        while start <= last:
            place, left = start, step
            for a, b in gaps:
                if b < start:
                    continue
                if a - place > left:
                    break
                left -= a - place
                place = b + 1
            end = min(max(place + left - 1, start), last)
            yield start, end
            start = end + 1


def probe_fields(probe: Probe) -> dict[str, Any]:
    """Return a probe as plain values, for `parse_probe`."""
    fields = asdict(probe)
    if not probe.timeline.cuts:  # few videos have them, and earlier versions do not read them
        del fields["timeline"]["cuts"]
    return fields


def parse_probe(fields: Mapping[str, Any]) -> Probe:
    """Build a probe from what `probe_fields` made of it, by way of JSON."""
    gaps = tuple((first, last) for first, last in fields.get("gaps", ()))
    warnings = tuple(fields.get("warnings", ()))
    cuts = tuple(fields["timeline"].get("cuts", ()))
    timeline = Timeline(**{**fields["timeline"], "cuts": cuts})
    return Probe(**{**fields, "timeline": timeline, "gaps": gaps, "warnings": warnings})
