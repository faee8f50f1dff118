"""Moving pictures drawn here, so that their licence is ours.

Shapes: HWC is one frame, height by width by RGB, uint8; a scene gives one per call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

BITS = 12
_BLOCKS = BITS + 2  # and a white guard on the left, a black one on the right


def burn_barcode(frame_HWC: Frame, number: int) -> None:
    """Write the frame's number over the top ninth of the picture, in place.

    14 equal blocks over the width: white, 12 bits with the most significant first
    (black 0, white 1), black. Blocks survive resizing.
    """
    height, width, _ = frame_HWC.shape
    bits = [1, *((number >> bit) & 1 for bit in reversed(range(BITS))), 0]
    for block, bit in enumerate(bits):
        left, right = width * block // _BLOCKS, width * (block + 1) // _BLOCKS
        frame_HWC[: height // 9, left:right] = 255 * bit


def read_barcode(frame_HWC: NDArray[Any]) -> int | None:
    """The number burnt in; None when the guards are not there."""
    height, width, _ = frame_HWC.shape
    row = frame_HWC[height // 18].astype(int).mean(axis=-1)
    bits = [int(row[width * (2 * b + 1) // (2 * _BLOCKS)] > 127) for b in range(_BLOCKS)]
    if bits[0] != 1 or bits[-1] != 0:
        return None
    return sum(bit << (BITS - 1 - place) for place, bit in enumerate(bits[1:-1]))


def waves(width: int, height: int, frames: int) -> Iterator[Frame]:
    """Slow colour waves and a bright square that goes round; barcode on top."""
    y_H1, x_1W = np.mgrid[0:height, 0:1][0], np.mgrid[0:1, 0:width][1]
    side = max(height // 6, 2)
    for number in range(frames):
        phase = 2 * np.pi * number / 50
        frame = np.empty((height, width, 3), np.uint8)
        for channel in range(3):
            wave = np.sin(x_1W / width * 4 + y_H1 / height * 3 + phase + 2 * channel)
            frame[..., channel] = 110 + 70 * wave
        left = int((width - side) * (0.5 + 0.45 * np.cos(phase)))
        top = int((height - side) * (0.55 + 0.35 * np.sin(phase)))
        frame[top : top + side, left : left + side] = (250, 230, 60)
        burn_barcode(frame, number)
        yield frame


def dead_leaves(width: int, height: int, seed: int, leaves: int = 500) -> Frame:
    """Overlapping discs of all sizes: the statistics of a natural picture."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128, np.uint8)
    palette = rng.integers(30, 226, (12, 3))
    for _ in range(leaves):
        radius = int(min(6 * (1 - rng.random()) ** -0.7, height / 4))
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        colour = palette[rng.integers(0, len(palette))] + rng.integers(-20, 21, 3)
        cv2.circle(picture, centre, radius, [int(c) for c in colour], -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0), np.uint8)


def _window(picture: Frame, width: int, height: int, x: float, y: float, scale: float) -> Frame:
    """The part of a picture whose top left is (x, y), `scale` times as large."""
    matrix = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]], np.float64)
    mode = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REFLECT}
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), **mode), np.uint8)


def pan_right(width: int, height: int, frames: int) -> Iterator[Frame]:
    """The camera turns right: everything moves to the left."""
    wide = dead_leaves(width + 2 * frames, height, seed=1, leaves=900)
    for number in range(frames):
        yield _window(wide, width, height, 2.0 * number, 0, 1)


def zoom_in(width: int, height: int, frames: int) -> Iterator[Frame]:
    """The camera comes closer, steadily, to three times the size."""
    picture = dead_leaves(width * 2, height * 2, seed=2, leaves=700)
    for number in range(frames):
        scale = 0.5 * 3 ** (number / frames)
        left, top = width - width / 2 / scale, height - height / 2 / scale
        yield _window(picture, width, height, left, top, scale)


def bouncing_ball(width: int, height: int, frames: int) -> Iterator[Frame]:
    """A ball with a shadow crosses an evening sky in bounces."""
    ramp = np.linspace(0, 1, height)[:, None, None]
    sky = ((1 - ramp) * (40, 50, 110) + ramp * (250, 160, 90)).repeat(width, axis=1)
    ground, radius = int(height * 0.86), height // 10
    sky[ground:] = (60, 45, 50)
    for number in range(frames):
        frame = sky.astype(np.uint8)
        x = int(radius + (width - 2 * radius) * number / frames)
        t = (number % 30) / 30
        y = int(ground - radius - 4 * t * (1 - t) * height * 0.6)
        cv2.ellipse(frame, (x, ground + 4), (radius, 4), 0, 0, 360, (30, 22, 28), -1, cv2.LINE_AA)
        cv2.circle(frame, (x, y), radius, (225, 70, 60), -1, cv2.LINE_AA)
        cv2.circle(frame, (x - radius // 3, y - radius // 3), radius // 4, (250, 190, 180), -1)
        yield frame


def dissolve(width: int, height: int, frames: int) -> Iterator[Frame]:
    """A cool gradient dissolves into a warm one."""
    across = np.linspace(0, 1, width)[None, :, None]
    down = np.linspace(0, 1, height)[:, None, None]
    cool = across * (20, 120, 200) + (1 - down) * (20, 60, 50)
    warm = down * (230, 120, 30) + (1 - across) * (20, 20, 90)
    for number in range(frames):
        mix = min(max(1.6 * number / frames - 0.3, 0.0), 1.0)
        yield ((1 - mix) * cool + mix * warm).astype(np.uint8)


def hard_cut(width: int, height: int, frames: int) -> Iterator[Frame]:
    """Two places, one cut in the middle."""
    yield from pan_right(width, height, frames // 2)
    second = dead_leaves(width, height + frames, seed=9, leaves=300)[..., ::-1].copy()
    for number in range(frames - frames // 2):
        yield _window(second, width, height, 0, number, 1)


def passer_by(width: int, height: int, frames: int) -> Iterator[Frame]:
    """The camera stands still; something orange walks past."""
    place = dead_leaves(width, height, seed=4, leaves=700) // 2 + 40
    for number in range(frames):
        frame = place.copy()
        x = int(-20 + (width + 40) * number / frames)
        y = int(height * 0.65 + 6 * np.sin(number / 3))
        cv2.ellipse(frame, (x, y), (14, 30), 0, 0, 360, (250, 140, 40), -1, cv2.LINE_AA)
        cv2.circle(frame, (x, y - 40), 12, (255, 215, 170), -1, cv2.LINE_AA)
        yield frame


def handheld(width: int, height: int, frames: int) -> Iterator[Frame]:
    """One place, a camera that trembles in the hand and never rests."""
    place = dead_leaves(width + 80, height + 80, seed=21, leaves=800)
    rng = np.random.default_rng(5)
    hertz, phases = rng.uniform(1.5, 5, (2, 4)), rng.uniform(0, 6.28, (2, 4))
    for number in range(frames):
        x, y = (np.sin(2 * np.pi * hertz * number / 25 + phases) @ (3, 2.5, 2, 1.5)).tolist()
        yield _window(place, width, height, 40 + x, 40 + y, 1)


def sweeping(width: int, height: int, frames: int) -> Iterator[Frame]:
    """The camera turns right, then looks down, turns back left, looks up, without a pause."""
    place = dead_leaves(width * 3, height * 3, seed=22, leaves=2500)
    corners = np.array([[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]) * (width, height)
    for number in range(frames):
        leg, share = divmod(4 * number / frames, 1)
        x, y = corners[int(leg)] * (1 - share) + corners[int(leg) + 1] * share
        yield _window(place, width, height, x, y, 1)


def slideshow(width: int, height: int, frames: int) -> Iterator[Frame]:
    """Seven still pictures, each dissolving into the next."""
    pictures = [dead_leaves(width, height, seed=30 + n, leaves=250 + 60 * n) for n in range(7)]
    for number in range(frames):
        which, share = divmod(6 * number / (frames - 1), 1)
        before, after = pictures[int(which)], pictures[min(int(which) + 1, 6)]
        mix = min(max((share - 0.6) / 0.3, 0.0), 1.0)  # rests, then dissolves
        yield ((1 - mix) * before + mix * after).astype(np.uint8)


def fast_cut(width: int, height: int, frames: int) -> Iterator[Frame]:
    """Another place every 0.8 seconds."""
    for number in range(frames):
        if number % 20 == 0:
            place = dead_leaves(width, height, seed=50 + number // 20, leaves=300)
        yield place
