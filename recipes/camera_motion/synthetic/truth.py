"""Affine maps of the scene at each moment: the true motion of a generated clip.

A moment's map takes a place of the scene to its place in the picture, [x', y'] = A [x, y] + b,
both measured from the middle of the picture, x in its widths and y in its heights. So content
that is at p at one moment is at A2 A1^-1 (p - b1) + b2 at another, whatever the picture's size.
Objects that move by themselves in front of the scene are not part of it.

Legend: T frames, N shots, M moments, 3 columns: A and b.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recipes.camera_motion.synthetic.camera import CameraPath
from recipes.camera_motion.synthetic.scenes import F32
from recipes.camera_motion.synthetic.transitions import Weights

I64 = npt.NDArray[np.int64]

MOMENTS_PER_S = 16
"""Moments a second, from the first frame on."""
CLEAR = 0.97
"""Least share of one shot in a frame that has a map."""


def scene_maps(
    paths: Sequence[CameraPath], weights: Weights, subframes: int, rate_fps: int, aspect: float
) -> F32:
    """Return the map of the frame that is shown at each moment, float32 [M, 2, 3].

    NaN for a mix of several shots, and for the first moment of a shot, which has no moment
    before it to be compared with.

    Args:
        paths: of the shots; at each subframe of each frame.
        aspect: height of the picture in widths.
    """
    count = len(weights.plain_T)
    moments = np.arange(round(count / rate_fps * MOMENTS_PER_S) + 1)
    frame_M = frames_at(moments, rate_fps, count)
    shot_M = weights.of_shots_TN.argmax(1)[frame_M]
    clear_M = weights.of_shots_TN.max(1)[frame_M] > CLEAR
    clear_M[1:] &= shot_M[1:] == shot_M[:-1]
    maps = np.full((len(moments), 2, 3), np.nan, np.float32)
    for moment in np.flatnonzero(clear_M):
        path = paths[shot_M[moment]]
        first = frame_M[moment] * subframes
        maps[moment] = _map(path, slice(first, first + subframes), aspect)
    return maps


def frames_at(moments_M: I64, rate_fps: int, count: int) -> I64:
    """Return the index of the frame, of `count`, that is shown at each moment."""
    return np.minimum(moments_M * rate_fps // MOMENTS_PER_S, count - 1)


def _map(path: CameraPath, open_shutter: slice, aspect: float) -> F32:
    """Return a frame's map at the mean of its subframes, the inverse of the renderer's view."""
    x, y, zoom, roll = (
        float(state_T[open_shutter].mean())
        for state_T in (path.x_T, path.y_T, path.zoom_T, path.roll_T)
    )
    cos, sin = np.exp(zoom) * np.cos(roll), np.exp(zoom) * np.sin(roll)
    turn = np.array([[cos, sin], [-sin, cos]])
    shift = -turn @ (x, y)
    widths = np.concatenate([turn * (1, aspect), shift[:, None]], axis=1)
    return np.asarray(widths / np.array([[1], [aspect]]), dtype=np.float32)
