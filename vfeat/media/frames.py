"""Preparation of a decoded frame as the square pictures that the model takes.

The arithmetic is that of the official evaluation: short side to `size`, long side int(short *
ratio), crop offsets by Python's round, OpenCV's bilinear filter without antialiasing (golden data:
tests/golden/videomamba/preprocess).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vfeat.errors import UnitError
from vfeat.job.recipe import FrameSpec, Resize

U8 = npt.NDArray[np.uint8]

# Children are the unit of parallelism; OpenCV's own threads would fight over the cores.
cv2.setNumThreads(1)


def resized_shape(
    height: int, width: int, size: int, sar: Fraction = Fraction(1)
) -> tuple[int, int]:
    """Compute height and width after resizing the short side to `size`.

    Args:
        height, width: of the decoded frame, pixels.
        size: target length of the short side, pixels.
        sar: a pixel's width to its height; 1 leaves the picture's own proportions.
    """
    shown = max(Fraction(width) * sar, Fraction(1))
    if shown < height:
        return int(size * height / shown), size
    return size, int(size * shown / height)


_FILTERS: dict[Resize, int] = {
    "bilinear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "bicubic": cv2.INTER_CUBIC,
}


def resize(frame: U8, height: int, width: int, how: Resize) -> U8:
    """Resize a uint8 HWC picture to `height` x `width` pixels.

    Args:
        how: the filter; `area` applies only when the picture becomes smaller.
    """
    if frame.shape[:2] == (height, width):
        return frame
    shrinks = height * width < frame.shape[0] * frame.shape[1]
    interpolation = cv2.INTER_LINEAR if how == "area" and not shrinks else _FILTERS[how]
    contiguous = np.ascontiguousarray(frame)
    resized: U8 = cv2.resize(contiguous, (width, height), interpolation=interpolation)
    return resized


def crops(resized: U8, size: int, count: Literal[1, 3]) -> U8:
    """Cut squares from a resized picture.

    Args:
        resized: uint8 HWC; its short side is `size`.
        size: side of the squares, pixels.
        count: 1 for the centre, 3 for three along the long side.

    Returns:
        uint8 VHWC.
    """
    height, width = resized.shape[:2]
    if count == 1:
        top, left = round((height - size) / 2), round((width - size) / 2)
        return resized[None, top : top + size, left : left + size]
    step = (max(height, width) - size) / 2
    starts = [int(i * step) for i in range(3)]
    if height >= width:
        return np.stack([resized[start : start + size, :size] for start in starts])
    return np.stack([resized[:size, start : start + size] for start in starts])


def prepare(frame: U8, spec: FrameSpec, sar: Fraction, max_pixels: int, name: str) -> U8:
    """Prepare one decoded frame for stacking into a clip.

    Args:
        frame: uint8 HWC RGB, any size.
        spec: the recipe's frame settings.
        sar: the frame's pixel aspect ratio, used if the recipe asks for square pixels.
        max_pixels: budget of the resized picture.
        name: name of the file, for the message.

    Returns:
        uint8 VHWC [crops, size, size, 3].

    Raises:
        UnitError: too_large, when a very narrow picture would become a giant.
    """
    if spec.fit == "squash":
        return resize(frame, spec.size, spec.size, spec.resize)[None]
    ratio = sar if spec.square_pixels and sar > 0 else Fraction(1)
    height, width = resized_shape(frame.shape[0], frame.shape[1], spec.size, ratio)
    check_resized(height, width, max_pixels, name)
    return crops(resize(frame, height, width, spec.resize), spec.size, spec.crops)


def check_resized(height: int, width: int, max_pixels: int, name: str) -> None:
    """Refuse a resized picture over the budget.

    Raises:
        UnitError: too_large.
    """
    if height * width > max_pixels:
        raise UnitError(
            "too_large",
            f"{name}: so long a picture that resizing gives {width}x{height} pixels; "
            f"the limit is {max_pixels} (decode max_frame_pixels)",
        )


def normalise(frames: U8, spec: FrameSpec) -> npt.NDArray[np.float32]:
    """Scale pixels to [0, 1], subtract the mean and divide by std; the reference implementation.

    Args:
        frames: uint8 RGB with channels last.
        spec: holds mean and std per channel.
    """
    mean = np.array(spec.mean, dtype=np.float32)
    std = np.array(spec.std, dtype=np.float32)
    scaled = frames.astype(np.float32) / np.float32(255)
    return ((scaled - mean) / std).astype(np.float32)
