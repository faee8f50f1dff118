"""Random crops of a clip and of its flow: a little nearer, and off its middle.

This is the official recipe's random resized crop with the sides' proportion kept: one box for all
frames of a clip, so that its motion stays. Patches then begin at other pixels of the same clip.

Shape legend: B clips, C colours, T frames, S side in pixels, T' tubelets, S' patches along a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Box:
    """A square of whole pixels in a picture.

    Attributes:
        top, left: position of its first pixel.
        side: length of its side, pixels.
    """

    top: int
    left: int
    side: int


def draw_box(generator: np.random.Generator, size: int, share: float) -> Box:
    """Draw a box in a picture.

    Args:
        generator: source of randomness.
        size: side of the picture, pixels.
        share: largest part of the side that is cut off, in [0, 1).
    """
    side = round(size * (1 - share * generator.random()))
    top, left = generator.integers(0, size - side, 2, endpoint=True)
    return Box(int(top), int(left), side)


def crop_video(video_BCTSS: Tensor, boxes: Sequence[Box]) -> None:
    """Cut each clip's box and resize it to the whole's size, bilinearly; in place."""
    size = video_BCTSS.shape[-1]
    for video_CTSS, box in zip(video_BCTSS, boxes, strict=True):
        if box.side < size:
            rows, columns = (slice(a, a + box.side) for a in (box.top, box.left))
            seen = video_CTSS[:, :, rows, columns]
            video_CTSS.copy_(F.interpolate(seen, (size, size), mode="bilinear"))


def crop_flow(flow: Tensor, boxes: Sequence[Box], size: int) -> None:
    """Crop the flow to each clip's box, in shares of the box; in place.

    The picture of a tubelet moves by an affine map (`FlowTable`), so three of its tokens determine
    the others, between them and past them.

    Args:
        flow: BT'S'S'2, x and y, inverse hyperbolic sines of displacements; NaN where unknown.
        boxes: box of each clip.
        size: side of the pictures that the boxes are in, pixels.
    """
    patches = flow.shape[2]
    places = (torch.arange(patches) + 0.5) / patches  # of tokens, in shares of the side
    for flow_TSS2, box in zip(flow, boxes, strict=True):
        if box.side == size or patches == 1:
            continue
        share = box.side / size
        moved = flow_TSS2.sinh()
        first = moved[:, 0, 0]
        down, right = moved[:, -1, 0] - first, moved[:, 0, -1] - first  # over S' - 1 tokens
        rows, columns = (
            ((a / size + share * places) * patches - 0.5) / (patches - 1)
            for a in (box.top, box.left)
        )
        seen = (
            first[:, None, None]
            + rows[None, :, None, None] * down[:, None, None]
            + columns[None, None, :, None] * right[:, None, None]
        )
        flow_TSS2.copy_((seen / share).asinh())
