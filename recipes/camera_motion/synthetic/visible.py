"""Visibility of a clip's label in its pictures.

Some random clips do not show their label: a zoom behind somebody who fills the picture, a roll
over fog, a cut from one grey wall to another. Such a label would be learnt as noise and counted
as a mistake.

Legend: T frames, H, W pixels, M moments, G cells along the shorter side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from recipes.camera_motion.synthetic.camera import F64
from recipes.camera_motion.synthetic.render import Shot, render
from recipes.camera_motion.synthetic.scenes import F32, U8
from recipes.camera_motion.synthetic.transitions import Weights
from recipes.camera_motion.synthetic.truth import frames_at

SEEN_SHARE = 0.2
"""Least part of the picture in which a label must be visible."""
SIDE, CELL = 112, 8  # pixels, of the picture's shorter side and of a cell
LEAST_CHANGE = 2.0  # grey levels, of what a motion changes in a cell
LEAST_CONTRAST = 8.0  # grey levels, between two pictures that are distinct
EXPLAINED = 0.5  # of a cell's change, what the camera's motion must leave unexplained at most
APART = (8, 4, 2)  # moments between the pictures that are compared; most motion shows far apart
LEAST_CELLS = 0.2  # of the picture that must still be in view to compare

Bool = npt.NDArray[np.bool_]


def motion_shares(frames_THWC: U8, maps_M23: F32, rate_fps: int) -> Iterator[float]:
    """Yield the share of the picture that shows the camera's motion, 0..1, for pairs of pictures.

    Lazy: a caller that stops early saves the remaining pairs.

    A cell shows it where moving one picture as the camera moved comes much nearer to another
    than leaving it where it is.

    Args:
        frames_THWC: uint8, a single shot.
        maps_M23: of the scene, as `truth.scene_maps` gives them.
    """
    frame_M = frames_at(np.arange(len(maps_M23)), rate_fps, len(frames_THWC))
    moments = np.flatnonzero(~np.isnan(maps_M23).any(axis=(1, 2)))
    moments = moments[:-1]  # the last one is the clip's end
    there = set(moments)

    @cache
    def gray(moment: int) -> F32:
        return _gray(frames_THWC[frame_M[moment]])

    for apart in APART:
        for first in moments[: -apart : apart // 2]:
            second = first + apart
            if second in there:
                way = maps_M23[first].astype(np.float64), maps_M23[second].astype(np.float64)
                yield _explained(gray(first), gray(second), *way)


def transition_share(
    shots: Sequence[Shot], weights: Weights, subframes: int, shape: tuple[int, int]
) -> float:
    """Return the share of the picture in which a transition's two sides differ, 0..1.

    Args:
        shape: H, W.
    """
    sides_TN = np.concatenate([weights.of_shots_TN, weights.plain_T[:, None]], axis=1)
    shown_T = sides_TN.argmax(axis=1)
    most = 0.0
    for frame in np.flatnonzero(np.diff(shown_T)):
        before, after = (
            _side(shots, weights, int(side), int(frame) * subframes, shape)
            for side in (shown_T[frame], shown_T[frame + 1])
        )
        cells = _cells(np.abs(before - after))
        most = max(most, float((cells > LEAST_CONTRAST).mean()))
    return most


def _side(
    shots: Sequence[Shot], weights: Weights, side: int, moment: int, shape: tuple[int, int]
) -> F32:
    """Return the picture of a shot, or of the plain colour."""
    if side < len(shots):
        return _gray(render(shots[side], moment, *shape))
    plain = np.broadcast_to(weights.colour.astype(np.uint8), (*shape, 3))
    return _gray(np.ascontiguousarray(plain))


def _explained(before: F32, after: F32, first: F64, second: F64) -> float:
    """Return the share of cells whose change the motion between two maps explains."""
    height, width = before.shape
    size = np.array([width, height])
    # From the picture's middle in its widths and heights, to pixels.
    turn = second[:, :2] @ np.linalg.inv(first[:, :2])
    shift = second[:, 2] - turn @ first[:, 2]
    turn = turn * size[:, None] / size
    middle = (size - 1) / 2
    matrix = np.concatenate([turn, (shift * size + middle - turn @ middle)[:, None]], axis=1)
    moved = cv2.warpAffine(before, matrix, (width, height))
    inside = cv2.warpAffine(np.ones_like(before), matrix, (width, height)) > 0.99
    view = _cells(inside.astype(np.float32))
    if (view > 0.5).mean() < LEAST_CELLS:
        return 0.0
    still = _cells(np.abs(before - after) * inside)
    left = _cells(np.abs(moved - after) * inside)
    seen: Bool = (view > 0.5) & (still > LEAST_CHANGE * view) & (left < EXPLAINED * still)
    return float(seen.mean())


def _gray(frame_HWC: U8) -> F32:
    """Convert to grey, float32, at a network's size and without the finest grain."""
    height, width = frame_HWC.shape[:2]
    scale = SIDE / min(height, width)
    size = (round(width * scale), round(height * scale))
    gray = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 1.0))


def _cells(picture: F32) -> F32:
    """Average over cells."""
    height, width = picture.shape
    size = (width // CELL, height // CELL)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
