"""Paths of the virtual camera: position, zoom and roll at each moment.

Positions are in widths of the picture, so that a path means the same at any size.
Legend: T moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes.camera_motion.synthetic.labels import Motion

F64 = npt.NDArray[np.float64]

# Over a clip: least and greatest motion. Motions between "static" and these are left out,
# because they have no clear label.
PAN_WIDTHS = (0.06, 1.4)
ZOOM_LOGARITHM = (0.09, 0.9)
ROLL_RADIANS = (0.09, 1.6)
SHAKE_WIDTHS = (0.008, 0.05)
SHAKE_HERTZ = (1.2, 7.0)
CREEP = 0.02
"""Greatest motion that still counts as static, over a clip: widths (heights for a tilt), logarithm
of the zoom, radians; a third of the least motion that has a label, or less."""
MINOR_SHARE = 0.22
"""Greatest size of an unnamed motion, as a share of the named one."""


@dataclass(frozen=True)
class CameraPath:
    """A camera's state at each moment.

    Attributes:
        x_T, y_T: centre of the view, in widths of the picture; y grows downwards.
        zoom_T: natural logarithm of the magnification.
        roll_T: radians, clockwise.
    """

    x_T: F64
    y_T: F64
    zoom_T: F64
    roll_T: F64

    def __add__(self, other: CameraPath) -> CameraPath:
        """Combine two motions."""
        return CameraPath(
            self.x_T + other.x_T,
            self.y_T + other.y_T,
            self.zoom_T + other.zoom_T,
            self.roll_T + other.roll_T,
        )


# Axis of the state, and its sign.
_AXES: dict[Motion, tuple[int, float]] = {
    "pan_right": (0, 1.0),
    "pan_left": (0, -1.0),
    "tilt_down": (1, 1.0),
    "tilt_up": (1, -1.0),
    "zoom_in": (2, 1.0),
    "zoom_out": (2, -1.0),
    "roll_cw": (3, 1.0),
    "roll_ccw": (3, -1.0),
}
_RANGES = (PAN_WIDTHS, PAN_WIDTHS, ZOOM_LOGARITHM, ROLL_RADIANS)


def camera_path(
    rng: np.random.Generator, motion: Motion, times_s: F64, aspect: float
) -> CameraPath:
    """Draw a path whose label is `motion`.

    Args:
        motion: not a transition.
        times_s: moments of the clip, from 0; float64 [T].
        aspect: height of the picture in widths; tilts are measured by the height.
    """
    if motion == "static":
        return _static(rng, times_s)
    if motion == "shake":
        return _shake(rng, times_s, _log_uniform(rng, *SHAKE_WIDTHS))
    axis, sign = _AXES[motion]
    spans = [0.0] * 4
    share = rng.random() ** 0.5 if rng.random() < 0.15 else rng.random()  # some at the extremes
    low, high = _RANGES[axis]
    spans[axis] = sign * low * (high / low) ** share
    _add_minor_motions(rng, spans, axis, share)
    spans[1] *= aspect
    progress_T = _progress(rng, times_s)
    path = CameraPath(*(span * progress_T for span in spans))
    if rng.random() < 0.35:  # a hand that pans
        strength = min(0.012, 0.08 * abs(spans[0]) + 0.08 * abs(spans[1]) + 0.003)
        path = path + _shake(rng, times_s, strength * rng.random())
    return path


def slow_drift(rng: np.random.Generator, times_s: F64, aspect: float) -> CameraPath:
    """Draw a creep too small for a label, on some axes; arguments as for `camera_path`."""
    x, y, zoom, roll = CREEP * rng.uniform(-1, 1, 4) * (rng.random(4) < 0.5)
    u_T = times_s / times_s[-1]
    return CameraPath(x * u_T, y * aspect * u_T, zoom * u_T, roll * u_T)


def _add_minor_motions(
    rng: np.random.Generator, spans: list[float], axis: int, share: float
) -> None:
    """Add small motions on other axes, which no operator keeps quite still."""
    for other, (low, high) in enumerate(_RANGES):
        if other != axis and rng.random() < 0.3:
            size = low * (high / low) ** share * MINOR_SHARE * rng.random()
            spans[other] = size * rng.choice([-1.0, 1.0])


def _static(rng: np.random.Generator, times_s: F64) -> CameraPath:
    """Draw a still camera, or a tripod in the wind: well under a pixel in a hundred."""
    if rng.random() < 0.6:
        still_T = np.zeros_like(times_s)
        return CameraPath(still_T, still_T, still_T, still_T)
    return _shake(rng, times_s, 0.0012 * rng.random())


def _shake(rng: np.random.Generator, times_s: F64, strength: float) -> CameraPath:
    """Draw band-limited noise on all axes, mostly on position, without drift over the clip.

    Args:
        strength: root mean square of the position, in widths.
    """
    roll = strength * rng.uniform(0.0, 0.8)
    zoom = strength * rng.uniform(0.0, 0.3)
    return CameraPath(
        strength * _noise(rng, times_s),
        strength * rng.uniform(0.5, 1.0) * _noise(rng, times_s),
        zoom * _noise(rng, times_s),
        roll * _noise(rng, times_s),
    )


def _noise(rng: np.random.Generator, times_s: F64) -> F64:
    """Sum a few sinusoids at the frequencies of a hand, to unit strength."""
    count = int(rng.integers(3, 7))
    low, high = (float(np.log(hertz)) for hertz in SHAKE_HERTZ)
    hertz = np.exp(rng.uniform(low, high, count))
    weights = rng.uniform(0.3, 1.0, count)
    phases = rng.uniform(0, 2 * np.pi, count)
    waves = np.sin(2 * np.pi * hertz * times_s[:, None] + phases)
    noise_T: F64 = waves @ weights / np.sqrt((weights**2).sum() / 2)
    return noise_T


def _progress(rng: np.random.Generator, times_s: F64) -> F64:
    """Draw progress from 0 to 1 over at least half of the clip, with one of the usual easings."""
    end_s = float(times_s[-1])
    moving = 1.0 if rng.random() < 0.6 else rng.uniform(0.5, 1.0)
    start = rng.uniform(0, 1 - moving)
    u_T = np.clip((times_s / end_s - start) / moving, 0, 1)
    easing = rng.choice(["linear", "in_out", "in", "out"], p=[0.55, 0.25, 0.1, 0.1])
    if easing == "in_out":
        return np.asarray(u_T * u_T * (3 - 2 * u_T))
    if easing == "in":
        return np.asarray(u_T**1.7)
    if easing == "out":
        return np.asarray(1 - (1 - u_T) ** 1.7)
    return np.asarray(u_T)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
