"""Still pictures that a virtual camera looks at: drawn ones, and freely licensed photographs.

The photographs are those that scikit-image ships in its wheel (public domain or CC0; each
is named in its `data` folder). A scene is uint8 HWC, RGB.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vfeat.errors import EnvironmentMissing

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "moon", "rocket", "retina", "page", "text", "immunohistochemistry",
)  # fmt: skip

NEAR_LEAVES_SHARE = 0.25
"""Share of dead-leaves scenes seen from near, with shapes as large as the picture."""
FLOOR_SHARE = 0.4
"""Share of plain pictures with a floor below the wall, or a ground below the sky."""


def make_scene(rng: np.random.Generator, side: int) -> U8:
    """Draw a square scene of `side` pixels, of a random kind.

    Raises:
        EnvironmentMissing: scikit-image is not installed.
    """
    kinds = (_photograph, _dead_leaves, _buildings, _clouds, _horizon)
    make = kinds[rng.choice(len(kinds), p=[0.42, 0.23, 0.13, 0.1, 0.12])]
    return _graded(rng, make(rng, side))


def make_plain(rng: np.random.Generator, side: int) -> U8:
    """Draw a wall, a sky or the ground of a title: a smooth ramp, perhaps above another.

    A camera's motion is invisible on it, apart from the tilt of a level camera.
    """
    canvas = _ramp(rng, side)
    if rng.random() < FLOOR_SHARE:
        # Near the middle, since a picture shows half of a scene or more.
        line = int(side * rng.uniform(0.35, 0.75))
        canvas[line:] = _ramp(rng, side)[line:]
    return canvas


def _ramp(rng: np.random.Generator, side: int) -> U8:
    """Draw a ramp from one colour to another, in any direction."""
    first, second = rng.uniform(10, 250, (2, 3))
    if rng.random() < 0.5:
        second = first + rng.uniform(-30, 30, 3)
    along = rng.uniform(-1, 1, 2)
    place = np.linspace(0, 1, side)
    ramp = along[0] * place[:, None] + along[1] * place
    ramp = (ramp - ramp.min()) / (np.ptp(ramp) + 1e-9)
    return to_u8(first + ramp[..., None] * (second - first))


def _photograph(rng: np.random.Generator, side: int) -> U8:
    """Crop a photograph at random, perhaps mirrored or turned."""
    picture = photograph(PHOTOGRAPHS[rng.integers(len(PHOTOGRAPHS))])
    height, width = picture.shape[:2]
    crop = int(min(height, width) * rng.uniform(0.55, 1.0))
    top, left = rng.integers(0, height - crop + 1), rng.integers(0, width - crop + 1)
    part = picture[top : top + crop, left : left + crop]
    part = np.rot90(part, int(rng.integers(4)))
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return resized(np.ascontiguousarray(part), side)


@cache
def photograph(name: str) -> U8:
    """Load one of `PHOTOGRAPHS`, uint8 HWC."""
    try:
        from skimage import data
    except ImportError as error:
        raise EnvironmentMissing(
            "Generated video needs the photographs that come with scikit-image, which is not "
            "installed. Run: pip install scikit-image"
        ) from error
    picture = np.asarray(getattr(data, name)())
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    return np.ascontiguousarray(picture[..., :3], dtype=np.uint8)


def _dead_leaves(rng: np.random.Generator, side: int) -> U8:
    """Draw overlapping shapes with sizes of a power law: the statistics of natural pictures.

    Source: Lee, Mumford and Huang, "Occlusion models for natural images", 2001.
    """
    canvas = np.full((side, side, 3), rng.integers(0, 256, 3), np.uint8)
    palette = _palette(rng)
    near = rng.random() < NEAR_LEAVES_SHARE
    least, most = side * np.array((0.03, 0.5) if near else (0.008, 0.25))
    for _ in range(int(rng.integers(60, 200) if near else rng.integers(150, 600))):
        u = rng.random()
        radius = (least**-2 + u * (most**-2 - least**-2)) ** -0.5  # density r^-3
        x, y = (int(v) for v in rng.integers(0, side, 2))
        colour = _jittered(rng, palette)
        _shape(rng, canvas, x, y, max(1, int(radius)), colour)
    return canvas


def _shape(
    rng: np.random.Generator, canvas: U8, x: int, y: int, radius: int, colour: tuple[int, ...]
) -> None:
    """Draw a disc, an ellipse or a polygon."""
    kind = rng.integers(3)
    if kind == 0:
        cv2.circle(canvas, (x, y), radius, colour, -1, cv2.LINE_AA)
    elif kind == 1:
        axes = (radius, max(1, int(radius * rng.uniform(0.2, 1))))
        cv2.ellipse(canvas, (x, y), axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
        points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
        cv2.fillPoly(canvas, [points.astype(np.int32)], colour, cv2.LINE_AA)


def _buildings(rng: np.random.Generator, side: int) -> U8:
    """Draw rectangles in rows: walls, windows, shelves, print."""
    canvas = _clouds(rng, side)
    palette = _palette(rng)
    for _ in range(int(rng.integers(3, 12))):
        left, top = rng.integers(-side // 8, side, 2)
        width, height = rng.integers(side // 10, side // 2, 2)
        colour = _jittered(rng, palette)
        cv2.rectangle(canvas, (left, top), (left + width, top + height), colour, -1)
        step_x, step_y = rng.integers(max(3, side // 40), side // 8, 2)
        pane = _jittered(rng, palette)
        fill_x, fill_y = rng.uniform(0.3, 0.8, 2)
        for x in range(left + 3, left + width - step_x, step_x):
            for y in range(top + 3, top + height - step_y, step_y):
                corner = (int(x + step_x * fill_x), int(y + step_y * fill_y))
                cv2.rectangle(canvas, (x, y), corner, pane, -1)
    return canvas


def _clouds(rng: np.random.Generator, side: int) -> U8:
    """Draw coloured noise with a spectrum of 1/f^a, from foggy to rough."""
    steepness = rng.uniform(0.8, 1.8)
    frequency = np.fft.rfftfreq(side)[None, :] ** 2 + np.fft.fftfreq(side)[:, None] ** 2
    frequency[0, 0] = np.inf
    amplitude = frequency ** (-steepness / 2)
    layers = []
    for _ in range(2):
        phases = np.exp(2j * np.pi * rng.random(amplitude.shape))
        layer = np.fft.irfft2(amplitude * phases, s=(side, side))
        layers.append((layer - layer.mean()) / (layer.std() + 1e-9))
    first, second = rng.uniform(-60, 60, 3), rng.uniform(-40, 40, 3)
    base = rng.uniform(60, 190, 3)
    mixed = base + layers[0][..., None] * first + layers[1][..., None] * second
    return to_u8(mixed)


def _horizon(rng: np.random.Generator, side: int) -> U8:
    """Draw a smooth sky above a textured ground with objects on it."""
    top, bottom = rng.uniform(40, 255, (2, 3))
    ramp = np.linspace(0, 1, side)[:, None, None]
    sky = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (side, side, 3))
    canvas = to_u8(sky)
    line = int(side * rng.uniform(0.3, 0.7))
    ground = (_photograph if rng.random() < 0.6 else _dead_leaves)(rng, side)
    canvas[line:] = ground[: side - line]
    palette = _palette(rng)
    for _ in range(int(rng.integers(2, 9))):  # trees, poles, birds
        x, y = int(rng.integers(side)), int(line + rng.uniform(-0.25, 0.05) * side)
        radius = int(side * rng.uniform(0.01, 0.09))
        _shape(rng, canvas, x, y, radius, _jittered(rng, palette))
    return canvas


def _graded(rng: np.random.Generator, picture: U8) -> U8:
    """Vary contrast, brightness, saturation and tint, so that colours identify no scene."""
    values = picture.astype(np.float32)
    if rng.random() < 0.15:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    grey = values.mean(axis=2, keepdims=True)
    values = grey + (values - grey) * rng.uniform(0.5, 1.4)
    values = (values - 128) * rng.uniform(0.45, 1.25) + 128 + rng.uniform(-45, 35)
    values = values * rng.uniform(0.85, 1.15, 3).astype(np.float32)
    if rng.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.5, 2.5))
    return to_u8(values)


def _palette(rng: np.random.Generator) -> F32:
    """Draw a few colours, float32 [N, 3]."""
    return rng.uniform(0, 255, (int(rng.integers(3, 9)), 3)).astype(np.float32)


def _jittered(rng: np.random.Generator, palette: F32) -> tuple[int, ...]:
    colour = palette[rng.integers(len(palette))] + rng.normal(0, 18, 3)
    return tuple(int(v) for v in np.clip(colour, 0, 255))


def to_u8(values: npt.NDArray[np.floating[Any]]) -> U8:
    """Clip values to 0..255."""
    cut: U8 = np.clip(values, 0, 255).astype(np.uint8, order="C")
    return cut


def resized(picture: U8, side: int) -> U8:
    """Resize to a square, antialiased where it shrinks."""
    shrinks = picture.shape[0] > side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (side, side), interpolation=method), dtype=np.uint8)
