"""Objects that move by themselves in front of a scene and must not be taken for the camera.

A still actor moves with the scene (nearer ones faster, by parallax); one that the camera follows
stays in view while the scene moves.
Lengths are widths of the picture. Legend: T moments, H, W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from recipes.camera_motion.synthetic.camera import F64
from recipes.camera_motion.synthetic.scenes import F32, U8, to_u8

SPRITE_SIDE, LARGE_SIDE = 96, 160  # pixels of an actor's picture
LARGE_COVER = (0.3, 0.7)
"""Share of the picture that a large actor covers; enough of the scene must stay visible."""

PLAIN_SHARE = 0.2
"""Share of surfaces in a single colour, like balls and coats: only edges show their motion."""


@dataclass(frozen=True)
class Actor:
    """A cut-out and its own motion.

    Attributes:
        picture: uint8 [S, S, 3].
        alpha: opacity, float32 [S, S] in 0..1.
        size: side in widths, at magnification 1.
        x_T, y_T: own position, in widths from the scene's centre; y grows downwards.
        turn_T: own rotation, radians.
        growth_T: own magnification, logarithm (coming nearer).
        parallax: how much faster than the scene it passes; 1 is as far as the scene, and 0
            stands still in the view (the camera follows it, or it is printed on the picture).
        bend: how far its outline and surface sway, in sides; 0 is rigid.
        bend_T: phase of that sway, radians.
    """

    picture: U8
    alpha: F32
    size: float
    x_T: F64
    y_T: F64
    turn_T: F64
    growth_T: F64
    parallax: float
    bend: float = 0.0
    bend_T: F64 | None = None


def make_actors(
    rng: np.random.Generator, texture: U8, times_s: F64, aspect: float, count: int, still: bool
) -> list[Actor]:
    """Draw actors; some are people of several parts.

    Args:
        texture: any scene; surfaces are cut from it.
        still: whether they stay where they are.
    """
    actors: list[Actor] = []
    for _ in range(count):
        parallax = 1.0 if rng.random() < 0.6 else float(rng.uniform(1.0, 1.6))
        size = float(np.exp(rng.uniform(np.log(0.05), np.log(0.6))))
        where = rng.uniform(-0.45, 0.45, 2) * (1, aspect)
        body = Actor(*_surface(rng, texture), size, *_motion(rng, times_s, where, still), parallax)
        if not still and rng.random() < 0.25:
            body = _bending(rng, times_s, body)
        actors += _person(rng, texture, times_s, body) if rng.random() < 0.4 else [body]
    return actors


def make_followed(rng: np.random.Generator, texture: U8, times_s: F64, aspect: float) -> Actor:
    """Draw an object that the camera keeps in view while it turns."""
    where = rng.uniform(-0.2, 0.2, 2) * (1, aspect)
    path = _motion(rng, times_s, where, still=False, reach=0.06)
    return Actor(*_surface(rng, texture), float(rng.uniform(0.12, 0.5)), *path, 0.0)


def make_large(rng: np.random.Generator, texture: U8, times_s: F64, aspect: float) -> Actor:
    """Draw an object that covers much of the picture and bends as cloth, fur or water do."""
    slim, soft = rng.uniform(0.35, 1.0), float(rng.choice([1.5, 10.0], p=[0.7, 0.3]))
    picture, alpha = _cut(rng, texture, str(rng.choice(["ellipse", "polygon"])), slim, soft, True)
    covered = rng.uniform(*LARGE_COVER) * aspect  # in squared widths
    where = rng.uniform(-0.4, 0.4, 2) * (1, aspect)
    path = _motion(rng, times_s, where, still=False, reach=0.5)
    size = float(np.sqrt(covered / (slim * np.pi / 4)))
    return _bending(rng, times_s, Actor(picture, alpha, size, *path, 1.0))


def _bending(rng: np.random.Generator, times_s: F64, actor: Actor) -> Actor:
    hertz = np.exp(rng.uniform(np.log(0.3), np.log(2.5)))
    phase_T = 2 * np.pi * (hertz * times_s + rng.random())
    return replace(actor, bend=float(rng.uniform(0.01, 0.08)), bend_T=phase_T)


def _motion(
    rng: np.random.Generator, times_s: F64, where: F64, still: bool, reach: float = 0.9
) -> tuple[F64, F64, F64, F64]:
    """Draw x, y, turn and growth: passing by, to and fro in place, coming nearer, or none."""
    u_T = times_s / times_s[-1]
    zero_T = np.zeros_like(u_T)
    x_T, y_T, turn_T, growth_T = zero_T + where[0], zero_T + where[1], zero_T, zero_T
    if still:
        return x_T, y_T, turn_T + rng.uniform(-0.5, 0.5), growth_T
    kind = rng.choice(["pass", "sway", "near", "wander"], p=[0.45, 0.25, 0.1, 0.2])
    if kind == "pass":
        angle = rng.choice([0, np.pi]) + rng.normal(0, 0.35)
        if rng.random() < 0.3:
            angle = rng.uniform(0, 2 * np.pi)
        length = reach * rng.uniform(0.1, 1.6)
        x_T = x_T + length * np.cos(angle) * (u_T - 0.5)
        y_T = y_T + length * np.sin(angle) * (u_T - 0.5)
    elif kind == "near":
        growth_T = rng.uniform(-0.8, 0.8) * (u_T - 0.5)
    if kind in ("sway", "wander"):
        for axis_T in (x_T, y_T):
            axis_T += reach * rng.uniform(0.01, 0.12) * _swing(rng, times_s)
    turn_T = rng.uniform(0, 0.5) * _swing(rng, times_s) if rng.random() < 0.5 else turn_T
    return x_T, y_T, turn_T, growth_T


def _swing(rng: np.random.Generator, times_s: F64) -> F64:
    hertz = np.exp(rng.uniform(np.log(0.3), np.log(3)))
    return np.asarray(np.sin(2 * np.pi * (hertz * times_s + rng.random())))


def _person(rng: np.random.Generator, texture: U8, times_s: F64, body: Actor) -> list[Actor]:
    """Build a trunk with a head and swinging limbs that follows `body`."""
    size, step = body.size, float(rng.uniform(0.2, 0.9))
    parts = [_dressed(rng, texture, body, 0.5)]
    head = _dressed(rng, texture, body, 0.8)
    parts.append(replace(head, size=size * 0.4, y_T=body.y_T - size * 0.6))
    for side in (-1, 1):
        for height in (-0.1, 0.55):
            swing_T = step * _swing(rng, times_s)
            x_T = body.x_T + side * size * 0.15 + size * 0.3 * np.sin(-swing_T)
            limb = replace(body, size=size * 0.75, x_T=x_T, y_T=body.y_T + size * height)
            parts.append(_dressed(rng, texture, replace(limb, turn_T=swing_T), 0.25))
    return parts


def _dressed(rng: np.random.Generator, texture: U8, part: Actor, slim: float) -> Actor:
    """Give a part the shape of an ellipse and a surface of its own."""
    picture, alpha = _cut(rng, texture, "ellipse", slim)
    return replace(part, picture=picture, alpha=alpha)


def _surface(rng: np.random.Generator, texture: U8) -> tuple[U8, F32]:
    shape = str(rng.choice(["ellipse", "polygon", "box"]))
    return _cut(rng, texture, shape, rng.uniform(0.4, 1))


def _cut(
    rng: np.random.Generator, texture: U8, shape: str, slim: float, soft: float = 1.2,
    large: bool = False,
) -> tuple[U8, F32]:  # fmt: skip
    """Cut a patch of the texture in a shape.

    Args:
        slim: width over height.
        soft: width of the edge, pixels.
    """
    side = LARGE_SIDE if large else SPRITE_SIDE
    extent = int(rng.integers(SPRITE_SIDE // 3, min(texture.shape[:2])))
    top, left = (int(rng.integers(0, s - extent + 1)) for s in texture.shape[:2])
    patch = cv2.resize(texture[top : top + extent, left : left + extent], (side, side))
    if rng.random() < PLAIN_SHARE:
        patch = np.broadcast_to(np.uint8(rng.integers(0, 256, 3)), patch.shape)
    mask = np.zeros((side, side), np.float32)
    middle, half = side // 2, int(side // 2 - 1 - 1.5 * soft)
    if shape == "ellipse":
        cv2.ellipse(mask, (middle, middle), (int(half * slim), half), 0, 0, 360, 1.0, -1)
    elif shape == "box":
        wide = int(half * slim)
        cv2.rectangle(mask, (middle - wide, middle - half), (middle + wide, middle + half), 1.0, -1)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 8))
        radius = half * rng.uniform(0.5, 1, 8)
        points = middle + np.stack([slim * radius * np.cos(angles), radius * np.sin(angles)], 1)
        cv2.fillPoly(mask, [points.astype(np.int32)], 1.0)
    tint = rng.uniform(0.5, 1.3) * patch.astype(np.float32) + rng.uniform(-40, 40, 3)
    return to_u8(tint), np.asarray(cv2.GaussianBlur(mask, (0, 0), soft))
