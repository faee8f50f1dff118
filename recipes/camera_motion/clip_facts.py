"""Facts of a generated clip that its captions may state."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from recipes.camera_motion.synthetic.labels import Motion
from recipes.camera_motion.synthetic.scenes import F32
from recipes.camera_motion.synthetic.script import Rendered

Speed = Literal["slow", "medium", "fast"]
Fade = Literal["in", "out", "through"]
Colour = Literal["black", "white"]

SPEED_LIMITS: dict[str, tuple[float, float]] = {
    "pan": (0.22, 0.65), "tilt": (0.22, 0.65), "zoom": (0.2, 0.5), "roll": (0.22, 0.75),
}  # fmt: skip
"""By the kind of motion: a clip is slow below the first, and fast above the second. Widths of the
picture, heights for a tilt, logarithm of the zoom, radians, over the clip."""


@dataclass(frozen=True)
class ClipFacts:
    """Facts of one clip.

    Attributes:
        label: what the clip shows.
        also: second motion of the camera at the same time, or None.
        speed: of the camera's directed motion; None for any other label.
        amount: directed motion over the clip, in the unit of `SPEED_LIMITS`; 0 for other labels.
        motions: motion of each shot, in the order of time.
        fade, colour: kind of a fade, and the colour that it goes through; None for other labels.
    """

    label: Motion
    also: Motion | None
    speed: Speed | None
    amount: float
    motions: tuple[Motion, ...]
    fade: Fade | None = None
    colour: Colour | None = None

    @property
    def cuts(self) -> int:
        """Number of cuts in the clip."""
        return len(self.motions) - 1 if self.label == "cut" else 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> ClipFacts:
        return cls(**{**content, "motions": tuple(content["motions"])})


def facts_of(clip: Rendered, also: Motion | None = None) -> ClipFacts:
    """Return the facts of a clip that `make_clip` has rendered with this second motion."""
    amount = _directed(clip.label, clip.maps, clip.frames.shape[1] / clip.frames.shape[2])
    fade, colour = _fade(clip) if clip.label == "fade" else (None, None)
    return ClipFacts(
        clip.label, also, _speed(clip.label, amount), round(amount, 4), clip.motions, fade, colour
    )


def _directed(label: Motion, maps_M23: F32, aspect: float) -> float:
    """Return the size of a clip's directed motion from its first moment to its last one."""
    there = np.flatnonzero(~np.isnan(maps_M23).any(axis=(1, 2)))
    kind = label.partition("_")[0]
    if kind not in SPEED_LIMITS or len(there) < 2:
        return 0.0
    first, last = (_state(maps_M23[moment].astype(float), aspect) for moment in there[[0, -1]])
    return float(abs(last[kind] - first[kind]))


def _state(map_23: np.ndarray, aspect: float) -> dict[str, float]:
    """Return the camera's position, zoom and roll of a scene's map (see `synthetic/truth.py`)."""
    # From widths and heights to widths alone, where the turn is a rotation and a scale.
    scale = np.array([1.0, aspect])
    turn = map_23[:, :2] * scale[:, None] / scale
    x, y = -np.linalg.inv(turn) @ (map_23[:, 2] * scale)
    return {
        "pan": float(x),
        "tilt": float(y) / aspect,
        "zoom": float(np.log(np.hypot(turn[0, 0], turn[0, 1]))),
        "roll": float(np.arctan2(turn[0, 1], turn[0, 0])),
    }


def _speed(label: Motion, amount: float) -> Speed | None:
    limits = SPEED_LIMITS.get(label.partition("_")[0])
    if limits is None:
        return None
    slow, fast = limits
    return "slow" if amount < slow else "fast" if amount > fast else "medium"


def _fade(clip: Rendered) -> tuple[Fade, Colour]:
    plain_T = clip.weights.plain_T
    colour: Colour = "white" if clip.weights.colour.mean() > 127 else "black"
    if clip.weights.shots > 1:
        return "through", colour
    return ("in" if plain_T[0] > plain_T[-1] else "out"), colour
