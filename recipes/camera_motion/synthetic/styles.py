"""Camera styles of whole videos, as sequences of the labels of their clips.

A style is a random process: shots follow each other, each with a length and a motion of the
camera, joined by a cut, a dissolve or a fade. A clip that contains a join has its label. Lengths
are in clips of two seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from recipes.camera_motion.synthetic.labels import TRANSITIONS, Motion

Style = Literal["locked_off", "handheld", "sweeping", "slideshow", "fast_cut", "mixed"]
STYLES: tuple[Style, ...] = get_args(Style)
SHORTEST, SHORT, LONGEST = 4, 20, 2000
"""Clips of a video; no video below `SHORT` is mixed."""
SHORT_SHARE = 0.25

_PANS: tuple[Motion, ...] = ("pan_left", "pan_right")
_TILTS: tuple[Motion, ...] = ("tilt_up", "tilt_down")
_ZOOMS: tuple[Motion, ...] = ("zoom_in", "zoom_out")
_ROLLS: tuple[Motion, ...] = ("roll_cw", "roll_ccw")
Shares = Mapping[Motion, float]


@dataclass(frozen=True)
class _Manner:
    """Ranges of a style's numbers; each video draws its own.

    Attributes:
        motions: motions of a shot's camera, with relative shares.
        shot_clips: mean length of a shot in clips; least and greatest.
        joins: relative shares of cut, dissolve and fade.
        phase_clips: how long the camera keeps a motion within a shot, mean; None: all of it.
        stray: share of clips that show anything else.
    """

    motions: Shares
    shot_clips: tuple[float, float]
    joins: tuple[float, float, float]
    stray: tuple[float, float] = (0.0, 0.08)
    phase_clips: float | None = None


_MANNERS: dict[Style, _Manner] = {
    "locked_off": _Manner({"static": 1.0}, (5, 400), (0.96, 0.02, 0.02)),
    "handheld": _Manner(
        {"shake": 0.7, "static": 0.08, **dict.fromkeys((*_PANS, *_TILTS), 0.05)},
        (3, 200),
        (0.97, 0.01, 0.02),
        stray=(0.0, 0.15),
        phase_clips=4.0,
    ),
    "sweeping": _Manner(
        {
            "static": 0.1,
            **dict.fromkeys(_PANS, 0.22),
            **dict.fromkeys((*_TILTS, *_ZOOMS), 0.1),
            **dict.fromkeys(_ROLLS, 0.03),
        },
        (2, 12),
        (0.85, 0.1, 0.05),
        phase_clips=2.5,
    ),
    "slideshow": _Manner(
        {"static": 0.7, **dict.fromkeys((*_ZOOMS, *_PANS), 0.075)},
        (1.5, 5),
        (0.1, 0.65, 0.25),
    ),
    "fast_cut": _Manner(
        {
            "static": 0.4,
            "shake": 0.2,
            **dict.fromkeys((*_PANS, *_TILTS, *_ZOOMS), 0.06),
            **dict.fromkeys(_ROLLS, 0.02),
        },
        (0.15, 1.6),
        (0.96, 0.02, 0.02),
    ),
}


def style_sequence(rng: np.random.Generator, style: Style, clips: int) -> list[Motion]:
    """Draw the label of each clip of a video of that style.

    `mixed` is two to four parts of other styles, none of them more than three fifths.
    """
    if style != "mixed":
        return _shots(rng, _MANNERS[style], clips)
    plain = [s for s in STYLES if s != "mixed"]
    while True:
        shares = rng.dirichlet(np.full(int(rng.integers(2, 5)), 4.0))
        if shares.max() <= 0.6 and shares.min() >= 0.15:
            break
    chosen = rng.choice(len(plain), len(shares), replace=False)
    ends = np.round(np.cumsum(shares) * clips).astype(int)
    sequence: list[Motion] = []
    for which, end in zip(chosen, ends, strict=True):
        sequence += _shots(rng, _MANNERS[plain[which]], int(end) - len(sequence))
    return sequence


def random_length(rng: np.random.Generator, style: Style) -> int:
    """Draw a length, 20 to 2,000 clips, log-uniform; a quarter is shorter, except for `mixed`."""
    is_short = rng.random() < SHORT_SHARE and style != "mixed"
    low, high = (SHORTEST, SHORT) if is_short else (SHORT, LONGEST)
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _shots(rng: np.random.Generator, manner: _Manner, clips: int) -> list[Motion]:
    """Draw shots with joins between them, as the labels of a grid of clips."""
    low, high = manner.shot_clips
    mean_clips = low * (high / low) ** rng.random()
    stray = rng.uniform(*manner.stray)
    motions = list(manner.motions)
    # Each video of a style has shares of its own.
    shares = rng.dirichlet(np.array([manner.motions[m] for m in motions]) * 25 + 0.05)
    joins = _ends(rng, mean_clips, clips)
    turns = joins | (_ends(rng, manner.phase_clips, clips) if manner.phase_clips else set())
    sequence: list[Motion] = []
    motion = 0
    for clip in range(clips):
        if clip == 0 or clip in turns:
            motion = int(rng.choice(len(motions), p=shares))
        if clip in joins:
            sequence.append(TRANSITIONS[rng.choice(3, p=manner.joins)])
        elif rng.random() < stray:
            everything = motions + list(TRANSITIONS)
            sequence.append(everything[rng.integers(len(everything))])
        else:
            sequence.append(motions[motion])
    return sequence


def _ends(rng: np.random.Generator, mean_clips: float, clips: int) -> set[int]:
    """Draw the clips in which a stretch of that mean length ends and the next begins."""
    lengths = mean_clips * rng.gamma(3.0, 1 / 3.0, max(4, int(6 * clips / mean_clips)))
    return {int(end) for end in np.cumsum(lengths) if end < clips}
