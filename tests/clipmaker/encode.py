"""Frames to files with PyAV: one thread, no dates, so the same bytes each time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.clipmaker.scenes import Frame


@dataclass(frozen=True)
class Coding:
    """How a clip is encoded.

    Attributes:
        codec: FFmpeg's name of the encoder.
        options: of the encoder.
        container: options of the muxer.
        tick_s: seconds of one tick of the presentation times.
        rotation: degrees, counter-clockwise, that a player must turn the picture by.
        audio_s: length of a beep beside the video; 0 for none.
    """

    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)
    tick_s: Fraction = Fraction(1, 25)
    pixel_format: str = "yuv420p"
    rotation: int = 0
    audio_s: float = 0


def write_clip(path: Path, frames: Iterable[Frame], ticks: list[int], coding: Coding) -> None:
    """Encode one clip.

    Args:
        path: where; the extension chooses the container.
        frames: one picture for each tick but the last.
        ticks: when each frame is shown, and at the end when the last one leaves.
        coding: see `Coding`.
    """
    if coding.rotation:
        # stored turned the other way, so that a player which obeys shows it upright
        frames = (np.rot90(f, k=-coding.rotation // 90).copy() for f in frames)
    options = {"fflags": "+bitexact", **coding.container}
    with _same_scheduling(), av.open(path, "w", options=options) as out:
        stream = None
        audio = _add_audio(out) if coding.audio_s else None
        steps = {tick: then - tick for tick, then in pairwise(ticks)}
        for frame_HWC, tick in zip(frames, steps, strict=True):
            if stream is None:
                rate = 1 / (coding.tick_s * sorted(steps.values())[len(steps) // 2])
                stream = _add_video(out, frame_HWC, rate, coding)
            frame = av.VideoFrame.from_ndarray(frame_HWC, format="rgb24")
            frame.pts, frame.time_base = tick, coding.tick_s
            _mux(out, stream.encode(frame), steps)
        if stream is not None:
            _mux(out, stream.encode(None), steps)
        if audio is not None:
            _beep(out, audio, coding.audio_s)


@contextmanager
def _same_scheduling() -> Iterator[None]:
    """Take back the real-time priority that SVT-AV1 gives the thread of a root user that opens it.

    Every process that the thread starts would inherit it, and one that computes keeps a core to
    itself.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)


def _mux(
    out: av.container.OutputContainer, packets: list[av.Packet[Any]], steps: dict[int, int]
) -> None:
    for packet in packets:
        # encoders forget how long a frame is shown; for the last one nothing else tells
        assert packet.pts is not None
        packet.duration = steps[packet.pts]
        out.mux(packet)


def _add_video(
    out: av.container.OutputContainer, like: Frame, rate: Fraction, coding: Coding
) -> av.VideoStream:
    options = {"threads": "1", "flags": "+bitexact", **coding.options}
    stream = out.add_stream(coding.codec, rate=rate, options=options)
    assert isinstance(stream, av.VideoStream)
    stream.height, stream.width = like.shape[:2]
    stream.pix_fmt = coding.pixel_format
    stream.codec_context.time_base = coding.tick_s
    stream.codec_context.thread_count = 1
    if coding.rotation:
        stream.set_display_rotation(coding.rotation)
    return stream


def _add_audio(out: av.container.OutputContainer) -> av.AudioStream:
    stream = out.add_stream("aac", rate=16000, options={"flags": "+bitexact", "b": "16000"})
    assert isinstance(stream, av.AudioStream)
    stream.layout = "mono"
    return stream


def _beep(out: av.container.OutputContainer, stream: av.AudioStream, length_s: float) -> None:
    for start in range(0, int(16000 * length_s), 1024):
        tone = 0.1 * np.sin(np.arange(start, start + 1024) * (2 * np.pi * 440 / 16000))
        frame = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def write_audio(path: Path, length_s: float) -> None:
    """A file of the same kind with no video at all."""
    with av.open(path, "w", options={"fflags": "+bitexact"}) as out:
        _beep(out, _add_audio(out), length_s)
