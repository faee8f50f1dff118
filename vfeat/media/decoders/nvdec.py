"""NVDEC, the video engines of an NVIDIA GPU, driven by the FFmpeg that PyAV brings.

Everything but the decoding of a packet is PyAV's: reading, times, seeking and what follows damage,
so that the same frames are chosen. A stream that the engines do not decode, FFmpeg decodes on the
CPU, and a warning names the file. Pictures stay on the GPU; they are converted and resized there.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from vfeat.job.recipe import FrameSpec
from vfeat.media.container import Opened
from vfeat.media.decoders.base import RGB, DecodeRequest, Frame, Pixels, instead_of
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.frames import prepare

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from vfeat.media.samples import Samples


class NvdecDecoder(PyavDecoder):
    """Frames of a video's default stream, from the GPU where it decodes the stream."""

    def __init__(self, request: DecodeRequest) -> None:
        """Open the video; nothing is decoded yet."""
        self._device = request.device
        super().__init__(request)
        if self._device is None:
            self._fall_back("this process decodes without a GPU")

    def spare(self, samples: Samples) -> None:
        """Decode every picture: which ones the engines leave out is not proven on a GPU."""

    def _open(self, request: DecodeRequest) -> Opened:
        acceleration = None if self._device is None else self._device.acceleration()
        return Opened(request.source, self._max_pixels, acceleration=acceleration)

    def _frame(self, frame: VideoFrame, tick: int) -> Frame:
        made = super()._frame(frame, tick)
        if self._device is None:
            return made
        if not self._device.has_decoded(frame):
            self._fall_back(self._why(frame))
            return made
        turns = frame.rotation // 90
        return replace(made, prepared=partial(self._prepared, frame, turns, made.sar))

    def _prepared(self, frame: VideoFrame, turns: int, sar: Fraction, spec: FrameSpec) -> Pixels:
        from vfeat.media.devices.preparation import prepare_on_device  # it imports torch

        assert self._device is not None
        surface = self._device.surface(frame)
        uri = self._request.source.uri
        if surface is None or (surface.interlaced and turns % 4):
            # Of 10 bits, say: FFmpeg's conversion, in main memory.
            return prepare(self._to_rgb(frame, turns), spec, sar, self._max_pixels, uri)
        return prepare_on_device(surface.turned(turns), spec, sar, self._max_pixels, uri)

    def _to_rgb(self, frame: VideoFrame, turns: int) -> RGB:
        if (frame.sw_format or frame.format).name == "nv12":
            # Planes of their own first: swscale converts interleaved ones to other colours.
            frame = self._reformatter.reformat(frame, format="yuv420p", threads=1)
        return super()._to_rgb(frame, turns)

    def _why(self, frame: VideoFrame) -> str:
        context = self._opened.stream.codec_context
        what = f"{context.codec.canonical_name} of {frame.width}x{frame.height} pixels"
        return f"the GPU does not decode {what} in {frame.format.name}"

    def _fall_back(self, why: str) -> None:
        """Warn once that the CPU decodes this video."""
        warning = instead_of("nvdec", self._request.source.uri, why)
        if warning not in self.stats.warnings:
            self.stats.warnings.append(warning)
