"""Decoders that return a frame by its number, for files where that is safe.

Such libraries hide what they could not decode: they shift numbers, repeat the last frame or start
late. So the packets' own times come from a scan, and a file that does not look plain goes to PyAV,
with a warning.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from vfeat.errors import UnitError
from vfeat.media.container import Opened
from vfeat.media.decoders.base import (
    RGB,
    Decoder,
    DecodeRequest,
    DecodeStats,
    Frame,
    instead_of,
)
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.scan import Scan, scan

_PLAIN_CONTAINERS = {"mov", "mp4", "matroska", "webm"}
_LATEST_START_S = Fraction(1, 2)


@dataclass(frozen=True)
class Reader:
    """A random-access library, with one file open.

    Attributes:
        n_frames: number of frames by the library's count.
        fetch: returns the displayed picture of a number, uint8 HWC.
        rest: stops decoding ahead.
    """

    n_frames: int
    fetch: Callable[[int], RGB]
    rest: Callable[[], None]


def open_indexed(
    request: DecodeRequest,
    name: str,
    open_reader: Callable[[str], Reader],
    codecs: frozenset[str],
    pixel_formats: frozenset[str],
) -> Decoder:
    """Open the library's decoder for a plain file, PyAV with a warning for any other.

    Args:
        request: the video and its limits.
        name: name of the decoder, for messages.
        open_reader: opens the library on a local path.
        codecs, pixel_formats: FFmpeg's names of those that the library decodes correctly.
    """
    seen, sar, unfit = _look(request, codecs, pixel_formats)
    if unfit is None and request.source.path is not None:
        try:
            reader = open_reader(request.source.path)
        except Exception as error:  # each library has its own
            unfit = f"it cannot open the file ({str(error).strip()[-200:]})"
        else:
            if reader.n_frames == len(seen.ticks):
                return IndexedDecoder(request, name, reader, seen, sar)
            unfit = f"it counts {reader.n_frames} frames of {len(seen.ticks)}"
    fallback = PyavDecoder(request)
    fallback.stats.warnings.append(instead_of(name, request.source.uri, str(unfit)))
    return fallback


def _look(
    request: DecodeRequest, codecs: frozenset[str], pixel_formats: frozenset[str]
) -> tuple[Scan, Fraction, str | None]:
    with Opened(request.source, request.limits.max_frame_pixels) as opened:
        seen = scan(opened, request.progress)
        codec = opened.stream.codec_context.codec.canonical_name
        containers = set(opened.container.format.name.split(","))
        sar = opened.stream.sample_aspect_ratio or Fraction(1)
        width, height = opened.stream.codec_context.width, opened.stream.codec_context.height
        pixels = opened.stream.codec_context.pix_fmt or "unknown"
    reasons = {
        "the file is not on this machine": request.source.path is None,
        f"its container is {'/'.join(sorted(containers))}": not containers & _PLAIN_CONTAINERS,
        f"its codec is {codec}": codec not in codecs,
        f"its pixels are {pixels}": pixels not in pixel_formats,
        f"its size is odd ({width}x{height})": bool(width % 2 or height % 2),
        "an edit list hides frames": seen.n_discarded > 0,
        "time starts again in mid-stream": bool(seen.restarts) or not seen.timed,
        "it holds no packets": len(seen.ticks) == 0,
        "its first frame comes late": len(seen.ticks) > 0
        and int(seen.ticks[0]) * request.timeline.tick_s > _LATEST_START_S,
    }
    return seen, sar, next((reason for reason, holds in reasons.items() if holds), None)


class LibraryFailed(UnitError):
    """The library gave up on a frame; PyAV may get past what stopped it."""


class IndexedDecoder:
    """Frames by number, with the times of a scan."""

    def __init__(
        self, request: DecodeRequest, name: str, reader: Reader, seen: Scan, sar: Fraction
    ) -> None:
        self.stats = DecodeStats()
        self._request = request
        self._name = name
        self._reader = reader
        self._seen = seen
        self._ticks = [int(tick) for tick in seen.ticks]
        self._sar = sar
        self._next = 0

    def read(self) -> Frame | None:
        """Return the next frame; nothing is decoded until its picture is asked for."""
        self._request.progress(self._next + 1)
        if self._next >= len(self._ticks):
            return None
        number = self._next
        self._next += 1
        return Frame(self._ticks[number], lambda: self._fetch(number), self._sar)

    def _fetch(self, number: int) -> RGB:
        try:
            picture = self._reader.fetch(number)
        except MemoryError:
            raise
        except Exception as error:  # each library has its own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise LibraryFailed(
                "undecodable",
                f"{self._request.source.uri}: {self._name} fails at frame {number}: {reason}",
            ) from error
        self.stats.frames_decoded += 1
        return picture

    def skip_to(self, tick: int) -> None:
        """Move to the frame on display at `tick`, never back."""
        self._next = max(self._next, bisect_right(self._ticks, tick) - 1)

    def promised(self, after: int, until: int) -> int:
        """Count the packets that begin in (after, until]; all of them are scanned."""
        return max(0, bisect_right(self._ticks, until) - bisect_right(self._ticks, after))

    def end_tick(self) -> int:
        """Return the end of the last packet's display."""
        return self._seen.end_tick

    def interval(self) -> int:
        """Return the typical number of ticks between two frames."""
        return self._seen.interval

    def rest(self) -> None:
        """Stop the library's background decoding."""
        self._reader.rest()

    def close(self) -> None:
        """Drop the library's reader; it closes the file when it is collected."""
        del self._reader
