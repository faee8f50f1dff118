"""Rendering of frames from a camera path, a scene and actors.

A view is an affine map from the picture's pixels to the scene's: c + s·R(roll)·(p - middle).
Past its border the scene is mirrored, so that the world has no end.
Legend: T moments, H, W pixels of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from recipes.camera_motion.synthetic.actors import Actor
from recipes.camera_motion.synthetic.camera import F64, CameraPath
from recipes.camera_motion.synthetic.labels import Hardship
from recipes.camera_motion.synthetic.living import Life, view_alive
from recipes.camera_motion.synthetic.scenes import F32, U8


@dataclass(frozen=True)
class Shot:
    """Shot of one scene by one camera, without a transition.

    Attributes:
        background: the scene at a moment (its index); footage changes, a picture does not.
        density: scene pixels to one pixel of the picture, at magnification 1.
        path: at each moment, subframes included.
        life: motion inside the scene.
        hardships: contents that are easily taken for the camera.
    """

    background: Callable[[int], U8]
    density: float
    path: CameraPath
    actors: Sequence[Actor]
    life: Life | None = None
    hardships: frozenset[Hardship] = frozenset()


def render(shot: Shot, moment: int, height: int, width: int) -> U8:
    """Render the picture at one moment, uint8 [H, W, 3]."""
    scene = shot.background(moment)
    path = shot.path
    zoom, roll = float(np.exp(-path.zoom_T[moment])), float(path.roll_T[moment])
    eye = np.array([path.x_T[moment], path.y_T[moment]]) * width
    middle = np.array([scene.shape[1], scene.shape[0]]) / 2
    matrix = _view(middle + eye * shot.density, shot.density * zoom, roll, height, width)
    if shot.life is None:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        mirrored = cv2.BORDER_REFLECT
        seen = cv2.warpAffine(scene, matrix, (width, height), flags=flags, borderMode=mirrored)
        picture: U8 = np.asarray(seen, dtype=np.uint8)
    else:
        picture = view_alive(scene, matrix, shot.density, shot.life, moment, (width, height))
    for actor in shot.actors:
        picture = _draw(picture, actor, moment, eye, zoom, roll)
    return picture


def _view(centre: F64, scale: float, roll: float, height: int, width: int) -> F64:
    """Return the affine map from the picture's pixels to the scene's, 2 x 3."""
    cos, sin = scale * np.cos(roll), scale * np.sin(roll)
    turn = np.array([[cos, -sin], [sin, cos]])  # y grows downwards: clockwise to the eye
    half = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.concatenate([turn, (centre - turn @ half)[:, None]], axis=1)


def _draw(picture: U8, actor: Actor, moment: int, eye: F64, zoom: float, roll: float) -> U8:
    """Blend an actor over the picture."""
    height, width = picture.shape[:2]
    follows = actor.parallax == 0
    scale = 1.0 if follows else 1 / zoom
    lean = 0.0 if follows else -roll
    own = np.array([actor.x_T[moment], actor.y_T[moment]]) * width
    offset = own if follows else (own - eye * actor.parallax) * scale
    cos, sin = np.cos(lean), np.sin(lean)
    place = np.array([[cos, -sin], [sin, cos]]) @ offset + (width / 2, height / 2)
    side = actor.size * width * scale * float(np.exp(actor.growth_T[moment]))
    sprite = len(actor.picture)
    angle, ratio = lean + float(actor.turn_T[moment]), side / sprite
    cos, sin = ratio * np.cos(angle), ratio * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    matrix = np.concatenate([turn, (place - turn @ np.full(2, sprite / 2))[:, None]], axis=1)
    reach = side * 0.75
    left, right = (int(np.clip(place[0] + s * reach, 0, width)) for s in (-1, 1))
    top, bottom = (int(np.clip(place[1] + s * reach, 0, height)) for s in (-1, 1))
    if right - left < 2 or bottom - top < 2:
        return picture
    matrix[:, 2] -= (left, top)
    window = (right - left, bottom - top)
    surface, outline = _bent(actor, moment)
    alpha: F32 = cv2.warpAffine(outline, matrix, window)[..., None]
    over = cv2.warpAffine(surface, matrix, window, borderMode=cv2.BORDER_REPLICATE)
    under = picture[top:bottom, left:right]
    picture[top:bottom, left:right] = (under + alpha * (over.astype(np.float32) - under)).astype(
        np.uint8
    )
    return picture


def _bent(actor: Actor, moment: int) -> tuple[U8, F32]:
    """Bend an actor's picture and opacity: rows slide sideways, columns up and down."""
    if actor.bend_T is None:
        return actor.picture, actor.alpha
    side = len(actor.picture)
    place = np.arange(side, dtype=np.float32)
    phase = float(actor.bend_T[moment])
    rows = side * actor.bend * np.sin(1.5 * np.pi * place / side + phase)
    columns = side * actor.bend * np.sin(2.5 * np.pi * place / side + 0.7 * phase)
    x = (place[None, :] + rows[:, None]).astype(np.float32)
    y = (place[:, None] + columns[None, :]).astype(np.float32)
    surface = cv2.remap(actor.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    outline = cv2.remap(actor.alpha, x, y, cv2.INTER_LINEAR)
    return np.asarray(surface, dtype=np.uint8), np.asarray(outline)
