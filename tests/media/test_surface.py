"""Pictures that a device converts and resizes equal those of swscale and OpenCV."""

from __future__ import annotations

import platform
from fractions import Fraction
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from tests.media.truth import OWN
from vfeat.errors import UnitError
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec, Resize
from vfeat.media.decoders.base import DecodeRequest
from vfeat.media.decoders.nvdec import NvdecDecoder
from vfeat.media.devices.cuda import CudaDevice
from vfeat.media.devices.preparation import prepare_on_device
from vfeat.media.devices.surface import COLORSPACES, Surface
from vfeat.media.frames import prepare
from vfeat.media.probe import probe
from vfeat.media.source import locate, no_progress

# swscale's other code paths round in other ways.
LEVELS = 0 if platform.machine() == "x86_64" else 2


def draw(height: int, width: int, colorspace: int, color_range: int) -> tuple[VideoFrame, Surface]:
    """A picture of noise, for FFmpeg and for torch."""
    draw = np.random.default_rng(height * width + colorspace)
    luma, u, v = (
        draw.integers(0, 256, shape, np.uint8)
        for shape in ((height, width), *[(height // 2, width // 2)] * 2)
    )
    planes = np.concatenate([luma.ravel(), u.ravel(), v.ravel()])
    frame = VideoFrame.from_ndarray(planes.reshape(height * 3 // 2, width), format="yuv420p")
    frame.colorspace, frame.color_range = colorspace, color_range
    chroma = torch.from_numpy(np.stack([u, v], -1))
    return frame, Surface(torch.from_numpy(luma), chroma, colorspace, color_range)


def rgb_of(frame: VideoFrame) -> np.ndarray:
    return frame.reformat(format="rgb24", threads=1).to_ndarray()


@pytest.mark.parametrize(
    ("colorspace", "color_range"), list(product(sorted(COLORSPACES), (0, 1, 2)))
)
def test_colours_are_those_of_swscale(colorspace: int, color_range: int) -> None:
    frame, surface = draw(96, 160, colorspace, color_range)
    ours = surface.rgb(torch.arange(96), torch.arange(160)).numpy()
    assert abs(ours - rgb_of(frame).astype(int)).max() <= LEVELS


def test_a_decoders_frame_is_shown_without_a_copy() -> None:
    """By PyAV's own DLPack, which gives planes of main memory as it gives those of a GPU."""
    frame, _ = draw(96, 160, 1, 1)
    theirs = frame.reformat(format="nv12")
    shown = SimpleNamespace(
        sw_format=theirs.format, width=160, height=96, colorspace=1, color_range=1,
        interlaced_frame=False, planes=theirs.planes,
    )  # fmt: skip
    surface = CudaDevice().surface(cast(VideoFrame, shown))
    assert surface is not None and surface.luma_HW.data_ptr() == theirs.planes[0].buffer_ptr
    ours = surface.rgb(torch.arange(96), torch.arange(160)).numpy()
    assert abs(ours - rgb_of(frame).astype(int)).max() <= LEVELS


@pytest.mark.parametrize(
    "other",
    [{"width": 159}, {"height": 95}, {"colorspace": 3}, {"sw_format": VideoFormat("p010le")},
     {"sw_format": None}],
)  # fmt: skip
def test_a_frame_that_torch_would_show_otherwise_is_not_shown(other: dict[str, Any]) -> None:
    form = VideoFormat("nv12")
    frame = SimpleNamespace(
        **{"sw_format": form, "width": 160, "height": 96, "colorspace": 1, **other}
    )
    assert CudaDevice().surface(cast(VideoFrame, frame)) is None


def test_a_frame_that_is_copied_keeps_its_colours() -> None:
    """Straight from NV12, swscale would mix chroma in another way."""
    frame, _ = draw(96, 160, 1, 1)
    path = str(OWN / "cfr25_bframes.mp4")
    line = probe(path, None, ClipSpec(), DecodeLimits()).timeline
    decoder = NvdecDecoder(DecodeRequest(locate(path, None), line, DecodeLimits(), no_progress))
    copied = decoder._to_rgb(frame.reformat(format="nv12"), 0)
    decoder.close()
    assert np.array_equal(copied, rgb_of(frame))
    assert not np.array_equal(copied, rgb_of(frame.reformat(format="nv12")))


SIZES = [(180, 320), (90, 44), (64, 64), (128, 128), (130, 258), (400, 226)]


@pytest.mark.parametrize("how", ["bilinear", "area", "bicubic"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_squares_are_those_of_opencv(height: int, width: int, how: Resize) -> None:
    frame, surface = draw(height, width, 1, 1)
    for crops, fit in ((1, "crop"), (3, "crop"), (1, "squash")):
        spec = FrameSpec(64, how, crops, square_pixels=True, fit=fit)  # type: ignore[arg-type]
        for sar in (Fraction(1), Fraction(4, 3)):
            theirs = prepare(rgb_of(frame), spec, sar, 1 << 30, "")
            ours = prepare_on_device(surface, spec, sar, 1 << 30, "").numpy()
            assert ours.shape == theirs.shape
            assert abs(ours.astype(int) - theirs).max() <= 1 + LEVELS


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_a_turned_picture_is_turned_before_it_is_cut(turns: int) -> None:
    frame, surface = draw(96, 160, 1, 1)
    spec = FrameSpec(48, crops=3)
    theirs = prepare(np.rot90(rgb_of(frame), turns), spec, Fraction(1), 1 << 30, "")
    ours = prepare_on_device(surface.turned(turns), spec, Fraction(1), 1 << 30, "").numpy()
    assert abs(ours.astype(int) - theirs).max() <= 1 + LEVELS


def test_a_narrow_picture_that_would_become_a_giant_is_refused() -> None:
    _, surface = draw(2, 4000, 1, 1)
    with pytest.raises(UnitError, match="max_frame_pixels") as caught:
        prepare_on_device(surface, FrameSpec(64), Fraction(1), 100_000, "a.mp4")
    assert caught.value.error_class == "too_large"
