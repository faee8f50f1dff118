"""Transitions: the share of each shot in each frame. Legend: T frames, N shots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recipes.camera_motion.synthetic.camera import F64
from recipes.camera_motion.synthetic.labels import Motion
from recipes.camera_motion.synthetic.scenes import F32

MARGIN_S = 0.12
"""Least distance of a cut from the clip's ends, so that sampled frames lie on both sides."""
NEAR_SEAM = 1 / 8
"""Share of the time between seams in which no frame is sampled, with four to a tubelet."""


@dataclass(frozen=True)
class Weights:
    """Shares of shots and of a plain colour; they add up to 1 in each frame.

    Attributes:
        of_shots_TN, plain_T: float64.
        colour: float32 [3].
    """

    of_shots_TN: F64
    plain_T: F64
    colour: F32

    @property
    def shots(self) -> int:
        return int(self.of_shots_TN.shape[1])


def transition_weights(
    rng: np.random.Generator, label: Motion, times_s: F64, seams_s: float | None = None
) -> Weights:
    """Draw the times of a transition; any other label has a single shot.

    Args:
        seams_s: half of the clips with cuts have one close to a multiple of this.
    """
    black = np.zeros(3, np.float32)
    none_T = np.zeros(len(times_s))
    end_s = float(times_s[-1])
    if label == "cut":
        cuts = int(rng.choice([1, 2, 3, 4], p=[0.7, 0.15, 0.1, 0.05]))
        at_s = np.sort(rng.uniform(MARGIN_S, end_s - MARGIN_S, cuts))
        if seams_s is not None and rng.random() < 0.5:
            seam = rng.integers(1, max(2, round(end_s / seams_s)))
            at_s[0] = seams_s * (seam + rng.uniform(-NEAR_SEAM, NEAR_SEAM))
            at_s.sort()
        shown_T = np.searchsorted(at_s, times_s, side="right")
        return Weights(np.eye(cuts + 1)[shown_T], none_T, black)
    if label == "dissolve":
        second_T = _ramp(rng, times_s)
        return Weights(np.stack([1 - second_T, second_T], axis=1), none_T, black)
    if label == "fade":
        return _fade(rng, times_s)
    return Weights(np.ones((len(times_s), 1)), none_T, black)


def _fade(rng: np.random.Generator, times_s: F64) -> Weights:
    """Draw a fade from a colour, to a colour, or through it to another shot."""
    colour = np.zeros(3, np.float32) if rng.random() < 0.75 else np.full(3, 255, np.float32)
    kind = rng.choice(["in", "out", "through"], p=[0.4, 0.4, 0.2])
    if kind != "through":
        ramp_T = _ramp(rng, times_s)
        shown_T = ramp_T if kind == "in" else 1 - ramp_T
        return Weights(shown_T[:, None], 1 - shown_T, colour)
    end_s = float(times_s[-1])
    middle_s = rng.uniform(0.35, 0.65) * end_s
    out_s, in_s = rng.uniform(0.3, 0.9, 2) * min(middle_s, end_s - middle_s)
    first_T = np.clip((middle_s - times_s) / out_s, 0, 1)
    second_T = np.clip((times_s - middle_s) / in_s, 0, 1)
    shots_TN = np.stack([first_T, second_T], axis=1)
    return Weights(shots_TN, 1 - shots_TN.sum(axis=1), colour)


def _ramp(rng: np.random.Generator, times_s: F64) -> F64:
    """Draw a ramp from 0 to 1 in 0.3 to 1.6 s, nearly all of it inside the clip."""
    end_s = float(times_s[-1])
    length_s = rng.uniform(0.3, 1.6)
    slack_s = 0.25 * length_s
    start_s = rng.uniform(-slack_s, end_s - length_s + slack_s)
    ramp_T = np.clip((times_s - start_s) / length_s, 0, 1)
    return np.asarray(ramp_T * ramp_T * (3 - 2 * ramp_T) if rng.random() < 0.3 else ramp_T)
