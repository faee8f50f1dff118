"""Probe of a video: the facts a plan needs, without decoding more than its first frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import av.error
import numpy as np

from vfeat.errors import UnitError
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.container import Opened, check_pixels
from vfeat.media.cost import decode_cost_s
from vfeat.media.cut_short import lacks_bytes
from vfeat.media.decoders.base import DecodeRequest, DecodeStats, complaint_of
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.frames import check_resized, resized_shape
from vfeat.media.scan import Scan, scan
from vfeat.media.shots.detect import find_cuts
from vfeat.media.source import Progress, Source, locate, no_progress
from vfeat.media.timeline import Grid, Ticks, clips_of, count_clips, find_gaps
from vfeat.video_facts import Probe, Timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# Remote files up to this size are scanned whole: it costs no more than looking around.
SMALL_BYTES = 4 << 20
# Gaps worth a place in the plan: of so many clips, and the first so many of them.
_LONG_GAP = 1000
_MAX_GAPS = 100
# Formats with nothing much behind their last packet; others may have a whole index there.
_NO_INDEX_AT_END = {"mpegts", "mpeg", "matroska", "flv"}
_UNREAD_SHARE, _UNREAD_BYTES = 0.02, 4096
_BEFORE_ALL = -(1 << 62)
_MAX_CLIP = (1 << 31) - 1  # clip_index is an int32


def probe(
    uri: str,
    size_bytes: int | None,
    clip: ClipSpec,
    limits: DecodeLimits,
    frame: FrameSpec | None = None,
    new_phase: Callable[[], Progress] = lambda: no_progress,
) -> Probe:
    """Probe one video by its address; see `probe_source`.

    Args:
        uri: an absolute path, or any URI that the storage layer opens.
        size_bytes: size of the object, if known.
        clip, limits, frame, new_phase: as there.
    """
    source = locate(uri, size_bytes, limits.timeout_s / 2)
    return probe_source(source, clip, limits, frame, new_phase)


@dataclass
class Kept:
    """What a probe has in hand at its end, for the one that decodes the video next.

    Attributes:
        ticks: of all frames from the first one on; None if not every packet was read.
        decoder: PyAV's, whose first picture is still to be read; None where it is of no use.
    """

    ticks: Ticks | None = None
    decoder: PyavDecoder | None = None

    def close(self) -> None:
        """Close the decoder; more often does no harm."""
        if self.decoder is not None:
            self.decoder.close()
            self.decoder = None


def probe_source(
    source: Source,
    clip: ClipSpec,
    limits: DecodeLimits,
    frame: FrameSpec | None = None,
    new_phase: Callable[[], Progress] = lambda: no_progress,
    kept: Kept | None = None,
) -> Probe:
    """Probe one video.

    Where clips are laid on shots, all of it is decoded once.

    Args:
        source: its bytes. A remote file of more than 4 MiB is not read whole, but to find shots.
        clip: clip grid of the recipe.
        limits: budgets of decoding.
        frame: the recipe's frame spec; with it, pictures whose resize would be over the pixel
            budget are refused here.
        new_phase: makes the counter of a pass over the file, which distinguishes work from a hang.
        kept: takes what is in hand at the end; its owner closes it.

    Raises:
        UnitError: unreadable, no_video, undecodable, too_large or storage.
    """
    uri = source.uri
    is_small = (source.size_bytes or SMALL_BYTES + 1) <= SMALL_BYTES
    found, scanned = _look(source, limits, new_phase(), whole=source.is_local or is_small)
    shape = _first_frame(source, limits, new_phase(), found, kept)
    if frame is not None and frame.fit == "crop":
        height, width = resized_shape(shape.height, shape.width, frame.size)
        check_resized(height, width, limits.max_frame_pixels, uri)
    line = _timeline(found, shape.tick, limits)
    if not scanned and count_clips(clip, line.duration_s) > limits.max_video_clips:
        # So long that most of it may be a gap, which only the packets can confirm.
        found, scanned = _look(source, limits, new_phase(), whole=True)
        line = _timeline(found, shape.tick, limits)
    ticks = found.scan.ticks[found.scan.ticks >= shape.tick]
    if kept is not None and scanned:
        kept.ticks = ticks
    if clip.shots is not None:
        _check_length(uri, clip, line, (), limits)  # before all of it is decoded
        cuts = find_cuts(source, line, clip.shots, limits, new_phase())
        line = replace(line, cuts=cuts)
    gaps = find_gaps(Grid(clip, line), ticks) if scanned else ()
    _check_length(uri, clip, line, gaps, limits)
    return Probe(
        container=found.container,
        codec=found.codec,
        width=shape.width,
        height=shape.height,
        rotation=shape.rotation,
        timeline=line,
        n_clips=clips_of(clip, line),
        n_empty=sum(last - first + 1 for first, last in gaps),
        decode_s=decode_cost_s(found.codec, shape.pixels, clip, line, found.scan.n_keyframes),
        scanned=scanned,
        gaps=tuple(gap for gap in gaps if gap[1] - gap[0] >= _LONG_GAP)[:_MAX_GAPS],
        group_s=_group_s(line, found.scan.n_keyframes) if scanned else 0.0,
        warnings=found.warnings,
    )


@dataclass(frozen=True)
class _Found:
    container: str
    codec: str
    scan: Scan
    tick_s: Fraction
    promised_end: int | None  # tick at which the video was to end, where bytes are missing
    header_frames: int  # 0: the scan counts them
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _FirstFrame:
    tick: int
    width: int
    height: int
    rotation: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


def _look(
    source: Source, limits: DecodeLimits, progress: Progress, *, whole: bool
) -> tuple[_Found, bool]:
    """Read the packets, all or the last ones; return True with them if they were all."""
    with Opened(source, limits.max_frame_pixels) as opened:
        seen = None if whole else _scan_tail(opened, progress)
        scanned = seen is None
        if seen is None:
            seen = scan(opened, progress)
        stream = opened.stream
        frames = 0 if scanned else _count_frames(opened, seen)
        promised = _promised_end(opened, seen)
        found = _Found(
            opened.container.format.name,
            stream.codec_context.codec.canonical_name,
            seen,
            opened.tick_s,
            promised,
            frames,
            _warnings(source.uri, seen),
        )
    return found, scanned


def _scan_tail(opened: Opened, progress: Progress) -> Scan | None:
    """Scan the packets near the end, by one seek; None if the container cannot seek."""
    stream = opened.stream
    start = stream.start_time or 0
    if stream.duration is not None:
        end = start + stream.duration
    elif opened.container.duration is not None:
        end = _floor_ticks(opened.container.duration, opened.tick_s)
    else:
        return None
    two_seconds = ceil(2 / opened.tick_s)
    try:
        opened.container.seek(max(start, end - two_seconds), backward=True, stream=stream)
    except av.error.FFmpegError:
        opened.container.seek(0)
        return None
    tail = scan(opened, progress)
    if len(tail.ticks) and tail.timed and not tail.restarts:
        return tail
    opened.container.seek(0)
    return None


def _floor_ticks(microseconds: int, tick_s: Fraction) -> int:
    """Convert container time to ticks of a stream, rounding down."""
    return int(Fraction(microseconds, 1_000_000) // tick_s)


def _count_frames(opened: Opened, tail: Scan) -> int:
    interval = opened.interval or tail.interval
    first = opened.stream.start_time or 0
    return opened.stream.frames or max(1, round((tail.end_tick - first) / interval))


def _promised_end(opened: Opened, seen: Scan) -> int | None:
    """Return the tick at which the video should end if bytes of it are missing, else None.

    The packets take precedence over any header.
    """
    stream, tick_s = opened.stream, opened.tick_s
    if seen.restarts or not seen.timed:
        return None
    if opened.container.format.name in ("mpegts", "mpeg"):
        # These have no header: what FFmpeg calls their duration is found from their packets.
        return _end_by_bytes(opened, seen) if _is_unread(opened, seen) else None
    if not (seen.is_cut or _is_unread(opened, seen) or lacks_bytes(opened)):
        return None
    if stream.duration is not None:
        return (stream.start_time or 0) + stream.duration
    if opened.container.duration is None:
        return None
    end = _floor_ticks(opened.container.duration, tick_s)
    # A longer audio track explains a container that outlasts its video.
    explained = seen.others_end_s >= (end - seen.interval) * tick_s
    return None if explained else end


def _check_length(
    uri: str, clip: ClipSpec, line: Timeline, gaps: Sequence[tuple[int, int]], limits: DecodeLimits
) -> None:
    """Raise UnitError `too_large` for a video over the limits, not counting empty stretches."""
    planned = clips_of(clip, line)
    clips = planned - sum(last - first + 1 for first, last in gaps)
    found = f"{uri}: its packets span {float(line.duration_s):,.0f} s"
    if line.duration_s > limits.max_video_s:
        raise UnitError(
            "too_large",
            f"{found}; the limit is {limits.max_video_s:,.0f} (decode max_video_seconds)",
        )
    if clips > limits.max_video_clips:
        raise UnitError(
            "too_large",
            f"{found}, {clips:,} clips; the limit is {limits.max_video_clips:,} "
            "(decode max_video_clips)",
        )
    if planned > _MAX_CLIP:
        raise UnitError(
            "too_large",
            f"{found}, {planned:,} clips with the empty ones; a dataset can number "
            f"{_MAX_CLIP:,} (a longer stride_seconds makes fewer)",
        )


def _group_s(line: Timeline, n_keyframes: int) -> float:
    """Return the average seconds between two keyframes."""
    return float(line.duration_s) / max(n_keyframes, 1)


def _end_by_bytes(opened: Opened, seen: Scan) -> int:
    """Extrapolate the video's end as if all its bytes held packets like the first ones."""
    first = int(seen.ticks[0]) if len(seen.ticks) else 0
    return first + round((seen.end_tick - first) / max(1 - seen.unread_share, 1e-3))


def _warnings(uri: str, seen: Scan) -> tuple[str, ...]:
    """List the warnings about the packets, one sentence each."""
    if not seen.n_wild:
        return seen.warnings
    wild = f"{uri}: frames left out because their times cannot be right: {seen.n_wild:,}"
    return (*seen.warnings, wild)


def _is_unread(opened: Opened, seen: Scan) -> bool:
    """Return whether so much lies behind the last packet that packets must have been lost."""
    if opened.container.format.name.partition(",")[0] not in _NO_INDEX_AT_END:
        return False
    unread_bytes = seen.unread_share * opened.container.size
    return seen.unread_share > _UNREAD_SHARE and unread_bytes > _UNREAD_BYTES


def _timeline(found: _Found, origin: int, limits: DecodeLimits) -> Timeline:
    seen = found.scan
    end = max(seen.end_tick, origin + 1)
    promise = found.promised_end
    # Less than a frame over is rounding (milliseconds, audio priming), not a promise.
    if promise is not None and promise - seen.end_tick >= seen.interval:
        is_possible = (promise - origin) * found.tick_s <= limits.max_video_s
        end = max(end, promise) if is_possible else end
    frames = found.header_frames or int(np.count_nonzero(seen.ticks >= origin))
    return Timeline(
        found.tick_s.numerator,
        found.tick_s.denominator,
        origin,
        end - origin,
        max(frames, 1),
        restarts=bool(seen.restarts) or not seen.timed,
    )


def _first_frame(
    source: Source, limits: DecodeLimits, progress: Progress, found: _Found, kept: Kept | None
) -> _FirstFrame:
    """Decode until a picture comes: it gives the exact origin, and proves that there is one."""
    # Of a blank timeline; its origin precedes every packet.
    blank = Timeline(found.tick_s.numerator, found.tick_s.denominator, _BEFORE_ALL, 0, 0)
    with ExitStack() as stack:
        decoder = PyavDecoder(DecodeRequest(source, blank, limits, progress))
        stack.callback(decoder.close)
        first = decoder.read_raw()
        shape = _shape(first, source, limits, found, decoder.stats)
        if kept is not None and not found.scan.restarts and found.scan.timed:
            kept.decoder = decoder
            stack.pop_all()
    return shape


def _shape(
    first: tuple[VideoFrame, int] | None,
    source: Source,
    limits: DecodeLimits,
    found: _Found,
    stats: DecodeStats,
) -> _FirstFrame:
    if first is None:
        raise UnitError(
            "undecodable",
            f"{source.uri}: not one frame decodes ({found.codec}, "
            f"{len(found.scan.ticks)} packets, {stats.bad_packets} of them refused)"
            + complaint_of(stats),
        )
    frame, tick = first
    check_pixels(frame.width, frame.height, source.uri, limits.max_frame_pixels)
    turned = frame.rotation // 90 % 2
    width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
    return _FirstFrame(tick, width, height, frame.rotation)
