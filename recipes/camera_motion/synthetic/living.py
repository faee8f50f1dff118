"""Motion inside scenes: foliage, cloth, water, a river, lamps and their light.

None of it is the camera's motion, and all of it changes the picture everywhere at once, as a
dissolve does. It is a field over the plane of the scene, and moves with the scene when the
camera moves. Lengths are widths of the picture at magnification 1.
Legend: H, W pixels of the picture, 2 is x and y.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from recipes.camera_motion.synthetic.camera import F64
from recipes.camera_motion.synthetic.scenes import F32, U8

LEAST_WAVE, MOST_WAVE = 0.06, 0.8  # lengths
MOST_SWAY = 0.02  # widths; at more, the scene would no longer stay in place
COARSE = 3  # pixels of the picture to one of the field: it is smooth


@dataclass(frozen=True)
class Wave:
    """A sine that travels over the scene.

    Attributes:
        k: wave vector, radians to a width, (x, y).
        speed: radians a second.
        phase: at the scene's middle and time 0.
        size: factor, (x, y): of a displacement, or (brightness, 0).
    """

    k: tuple[float, float]
    speed: float
    phase: float
    size: tuple[float, float]

    def at(self, place_HW2: F32, time_s: float) -> F32:
        """Return the wave at each place, -1..1, float32 [H, W]."""
        x, y = (np.float32(component) for component in self.k)
        angle = x * place_HW2[..., 0] + y * place_HW2[..., 1]
        return np.asarray(np.sin(angle + np.float32(self.phase + self.speed * time_s)))


@dataclass(frozen=True)
class Life:
    """Motion and light inside a scene.

    Attributes:
        sways: displacements.
        lights: changes of brightness.
        region: standing waves whose sum, above `level`, marks the moving part.
        stream: widths a second at which that region passes by, (x, y): a river, traffic; None
            where it only sways.
        times_s: of the moments.
    """

    sways: tuple[Wave, ...]
    lights: tuple[Wave, ...]
    region: tuple[Wave, ...]
    level: float
    stream: tuple[float, float] | None
    times_s: F64

    def mask(self, place_HW2: F32) -> F32:
        """Return how much of each place moves, float32 [H, W] in 0..1."""
        total = sum((wave.at(place_HW2, 0.0) for wave in self.region), np.float32(0))
        return np.asarray(np.clip(4 * (total - self.level) + 0.5, 0, 1), dtype=np.float32)


def make_life(rng: np.random.Generator, times_s: F64) -> Life:
    """Draw motion that is weak more often than strong, everywhere or in some parts only."""
    kind = rng.choice(["sway", "light", "both", "stream"], p=[0.4, 0.15, 0.2, 0.25])
    strength = float(rng.random() ** 1.5)
    everywhere = kind != "stream" and rng.random() < 0.5
    sways = _sways(rng, strength) if kind != "light" else ()
    lights = _lights(rng, strength) if kind in ("light", "both") or rng.random() < 0.3 else ()
    region = tuple(_wave(rng, 0.5, 2.0, 0.0) for _ in range(3))
    # At 0 a half of the scene moves, at 1.2 a sixth.
    level = -9.0 if everywhere else float(rng.uniform(0.1, 1.2))
    stream = None
    if kind == "stream":
        angle, speed = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(np.log(0.04), np.log(0.6)))
        stream = float(speed * np.cos(angle)), float(speed * np.sin(angle))
    return Life(sways, lights, region, level, stream, times_s)


def _sways(rng: np.random.Generator, strength: float) -> tuple[Wave, ...]:
    waves = []
    for _ in range(int(rng.integers(1, 4))):
        wave = _wave(rng, LEAST_WAVE, MOST_WAVE, 2 * np.pi * np.exp(rng.uniform(-1.2, 1.2)))
        # The steepness is the visible part; from 1 on, the scene would fold.
        size = min(MOST_SWAY, (0.05 + 0.55 * strength) / float(np.hypot(*wave.k)))
        angle = rng.uniform(0, 2 * np.pi)
        towards = float(size * np.cos(angle)), float(size * np.sin(angle))
        waves.append(Wave(wave.k, wave.speed, wave.phase, towards))
    return tuple(waves)


def _lights(rng: np.random.Generator, strength: float) -> tuple[Wave, ...]:
    """Draw glints on water, the shadow of leaves, a screen that lights a room.

    Each is a standing wave, two waves against each other: one alone would look like a pan over
    stripes.
    """
    size = 0.02 + 0.18 * strength
    waves = []
    for _ in range(int(rng.integers(1, 4))):
        speed = 2 * np.pi * np.exp(rng.uniform(-1.5, 1.2))
        wave = _wave(rng, 0.05, 2.0, speed, (size, 0.0))
        waves += [wave, replace(wave, speed=-speed, phase=float(rng.uniform(0, 2 * np.pi)))]
    return tuple(waves)


def _wave(
    rng: np.random.Generator, least: float, most: float, speed: float,
    size: tuple[float, float] = (0.0, 0.0),
) -> Wave:  # fmt: skip
    length = np.exp(rng.uniform(np.log(least), np.log(most)))
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    k = 2 * np.pi / length
    return Wave((float(k * np.cos(angle)), float(k * np.sin(angle))), speed, float(phase), size)


def view_alive(
    scene: U8, matrix: F64, density: float, life: Life, moment: int, window: tuple[int, int]
) -> U8:
    """Render a scene with motion inside, uint8 [H, W, 3].

    Args:
        matrix: the picture's pixels to the scene's, 2 x 3.
        density: scene pixels to a pixel of the picture, at magnification 1.
        window: width and height.
    """
    (width, height), time_s = window, float(life.times_s[moment])
    where = _grid(matrix, width, height)  # in the scene's pixels
    unit = np.float32(density * width)
    coarse = np.ascontiguousarray(where[::COARSE, ::COARSE])
    middle = np.array([scene.shape[1] / 2, scene.shape[0] / 2], np.float32)
    place: F32 = (coarse - middle) / unit
    mask = life.mask(place)
    if life.sways:
        moved = np.zeros_like(place)
        for wave in life.sways:
            moved += wave.at(place, time_s)[..., None] * np.asarray(wave.size, np.float32)
        where += _fine(moved * (unit * mask[..., None]), window)
    picture = _seen(scene, where)
    if life.stream is not None:
        passed = np.asarray(life.stream, np.float32) * np.float32(time_s * unit)
        share = _fine(mask, window)[..., None]
        # Shifted by more than it could have moved, so that it is another part of the world.
        stream = _seen(scene, where - passed + unit)
        picture = (picture + share * (stream.astype(np.float32) - picture)).astype(np.uint8)
    if life.lights:
        light = sum((w.size[0] * w.at(place, time_s) for w in life.lights), np.float32(0))
        bright = np.exp(_fine(light * mask, window))[..., None]
        picture = np.clip(picture * bright, 0, 255).astype(np.uint8)
    return picture


def _grid(matrix: F64, width: int, height: int) -> F32:
    """Return the place of each pixel in the scene, float32 [H, W, 2]."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    along, down, start = np.asarray(matrix, np.float32).T
    return np.asarray(x[None, :, None] * along + y[:, None, None] * down + start)


def _fine(field: F32, window: tuple[int, int]) -> F32:
    """Interpolate from the coarse grid to pixels."""
    return np.asarray(cv2.resize(field, window, interpolation=cv2.INTER_LINEAR))


def _seen(scene: U8, where: F32) -> U8:
    """Sample the scene, mirrored past its border."""
    x, y = np.ascontiguousarray(where[..., 0]), np.ascontiguousarray(where[..., 1])
    seen = cv2.remap(scene, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(seen, dtype=np.uint8)
