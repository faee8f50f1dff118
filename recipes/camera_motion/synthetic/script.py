"""Clips from a label and a seed; everything else is drawn at random.

Legend: T frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from recipes.camera_motion.synthetic.actors import make_actors, make_followed, make_large
from recipes.camera_motion.synthetic.camera import F64, CameraPath, camera_path, slow_drift
from recipes.camera_motion.synthetic.labels import LABELS, TRANSITIONS, Hardship, Motion
from recipes.camera_motion.synthetic.living import make_life
from recipes.camera_motion.synthetic.render import Shot, render
from recipes.camera_motion.synthetic.scenes import F32, U8, make_plain, make_scene, to_u8
from recipes.camera_motion.synthetic.transitions import Weights, transition_weights
from recipes.camera_motion.synthetic.truth import scene_maps
from recipes.camera_motion.synthetic.visible import SEEN_SHARE, motion_shares, transition_share

# Width and height; archives are mostly wide, phones stand upright.
SIZES = ((192, 144), (208, 156), (240, 136), (256, 144), (224, 126), (160, 160), (136, 240))
SIZE_SHARES = (0.15, 0.1, 0.25, 0.2, 0.15, 0.05, 0.1)
RATES_FPS = (10, 12, 15, 24, 25, 30)
RATE_SHARES = (0.25, 0.2, 0.2, 0.15, 0.1, 0.1)
CLIP_S = 2.0
CREEPING_SHARE = 0.5
"""Share of static clips whose camera creeps, like a tripod head that gives way."""
PLAIN_SHARE = 0.3
"""Share of static shots of nothing but a smooth ramp of colour, mostly with a moving object."""
SAME_PLACE_SHARE = 0.25
"""Share of cuts and dissolves between two views of one scene."""
ATTEMPTS = 16
"""Tries until a clip shows its label; four in a hundred need a second one."""
LIVING_SHARE, LIVING_SHARE_STATIC = 0.3, 0.5
"""Share of shots whose scene sways, flows or glitters, for a moving and for a static camera."""

Background = Callable[[int], U8]
Footage = Callable[[np.random.Generator, F64, int, int], tuple[Background, float]]
"""From a generator, moments, width and height: the scene at each moment, and its density."""


@dataclass(frozen=True)
class Rendered:
    """A generated clip.

    Attributes:
        frames: uint8 [T, H, W, 3].
        rate_fps: frames a second.
        maps: affine map of the scene at each moment, float32 [M, 2, 3]; see `truth.py`.
        hardships: of any of its shots.
        motions: label of each shot's own motion, in the order of time.
        weights: shares of the shots and of a plain colour in each frame.
    """

    label: Motion
    frames: U8
    rate_fps: int
    maps: F32
    hardships: frozenset[Hardship]
    motions: tuple[Motion, ...]
    weights: Weights


def make_clip(
    label: Motion,
    seed: tuple[int, ...],
    footage: Footage | None = None,
    clip_s: float = CLIP_S,
    seams_s: float | None = None,
    also: Motion | None = None,
) -> Rendered:
    """Render a clip of `clip_s` seconds, the same for the same arguments.

    A clip that does not show its label is made again from other numbers.

    Args:
        seed: any numbers.
        footage: source of scenes instead of generated ones; then no clip is made again.
        seams_s: time from seam to seam of a network's tubelets; half of the cuts then lie on one.
        also: a second motion of the camera at the same time; not with a transition.
    """
    first = (*seed, LABELS.index(label))
    for attempt in range(ATTEMPTS):
        numbers = (*first, attempt) if attempt else first
        clip, shown = _attempt(label, numbers, footage, clip_s, seams_s, also)
        if shown:
            break
    return clip


def _attempt(
    label: Motion, numbers: tuple[int, ...], footage: Footage | None, clip_s: float,
    seams_s: float | None, also: Motion | None,
) -> tuple[Rendered, bool]:  # fmt: skip
    """Render a clip; return it, and whether it shows its label."""
    rng = np.random.default_rng(numbers)
    width, height = SIZES[rng.choice(len(SIZES), p=SIZE_SHARES)]
    rate_fps = int(rng.choice(RATES_FPS, p=RATE_SHARES))
    count = round(clip_s * rate_fps)
    # Motion blur: the shutter is open for some of a frame's time.
    subframes = int(rng.choice([1, 2, 3], p=[0.6, 0.2, 0.2]))
    shutter = rng.uniform(0.2, 0.9)
    starts = np.repeat(np.arange(count), subframes) / rate_fps
    times_s = starts + np.tile(np.arange(subframes) * shutter / subframes, count) / rate_fps
    weights = transition_weights(rng, label, np.arange(count) / rate_fps, seams_s)
    shots, motions = _shots(rng, label, times_s, width, height, weights.shots, footage)
    if also is not None:
        second = camera_path(rng, also, times_s, height / width)
        shots = [replace(shot, path=shot.path + second) for shot in shots]
    frames = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        frames[index] = _frame(shots, weights, index, subframes, height, width)
    paths = [shot.path for shot in shots]
    maps = scene_maps(paths, weights, subframes, rate_fps, height / width)
    hardships = frozenset().union(*(shot.hardships for shot in shots))
    clip = Rendered(label, frames, rate_fps, maps, hardships, motions, weights)
    if footage is not None or label == "static":
        return clip, True
    if label in TRANSITIONS:
        return clip, transition_share(shots, weights, subframes, (height, width)) >= SEEN_SHARE
    shares = motion_shares(frames, maps, rate_fps)
    return clip, any(share >= SEEN_SHARE for share in shares)


def _shots(
    rng: np.random.Generator, label: Motion, times_s: F64, width: int, height: int, count: int,
    footage: Footage | None,
) -> tuple[list[Shot], tuple[Motion, ...]]:  # fmt: skip
    """Draw the shots of a clip, one or as many as its transitions join, and their motions."""

    def shot_of(motion: Motion) -> Shot:
        return _shot(rng, motion, times_s, width, height, footage)

    if label not in TRANSITIONS:
        shot = shot_of(label)
        if label == "static" and rng.random() < CREEPING_SHARE:
            creep = slow_drift(rng, times_s, height / width)
            shot = replace(shot, path=shot.path + creep)
        return [shot], (label,)
    motions: list[Motion] = [m for m in LABELS if m not in TRANSITIONS]
    shares = np.array([0.4 if m == "static" else 0.6 / (len(motions) - 1) for m in motions])
    drawn: list[Motion] = []
    shots: list[Shot] = []
    for _ in range(count):
        drawn.append(motions[rng.choice(len(motions), p=shares)])
        shots.append(shot_of(drawn[-1]))
    if label != "fade" and count == 2 and rng.random() < SAME_PLACE_SHARE:
        shots[1], drawn[1] = _same_place(rng, shots[0], times_s), drawn[0]
    return shots, tuple(drawn)


def _shot(
    rng: np.random.Generator, motion: Motion, times_s: F64, width: int, height: int,
    footage: Footage | None,
) -> Shot:  # fmt: skip
    aspect = height / width
    path = camera_path(rng, motion, times_s, aspect)
    if footage is not None:
        background, density = footage(rng, times_s, width, height)
        return Shot(background, density, path, ())
    density = float(rng.uniform(0.8, 1.6))
    side = int(max(width, height) * density * rng.uniform(1.1, 2.0))
    # Before a plain picture any other motion would be invisible.
    plain = motion == "static" and rng.random() < PLAIN_SHARE
    scene = make_plain(rng, side) if plain else make_scene(rng, side)
    count = int(rng.choice(5, p=[0.25, 0.3, 0.2, 0.15, 0.1]))
    if plain and rng.random() < 0.8:
        count = int(rng.integers(1, 4))
    moving = plain or rng.random() < (0.85 if motion == "static" else 0.5)
    texture = scene if rng.random() < 0.3 and not plain else make_scene(rng, 160)
    actors = make_actors(rng, texture, times_s, aspect, count, still=not moving)
    hardships: set[Hardship] = set()
    if rng.random() < (0.3 if motion == "static" else 0.08):
        actors.insert(0, make_large(rng, texture, times_s, aspect))
        hardships.add("large subject")
    if motion != "static" and rng.random() < 0.12:
        actors.append(make_followed(rng, texture, times_s, aspect))
        hardships.add("followed subject")
    lives = rng.random() < (LIVING_SHARE_STATIC if motion == "static" else LIVING_SHARE)
    life = make_life(rng, times_s) if lives and not plain else None
    if life is not None:
        hardships.add("living scene")
    return Shot(lambda _: scene, density, path, actors, life, frozenset(hardships))


def _same_place(rng: np.random.Generator, shot: Shot, times_s: F64) -> Shot:
    """Return the same scene from elsewhere or nearer: a jump cut."""
    still_T = np.zeros_like(times_s)
    x, y = rng.choice([-1, 1], 2) * rng.uniform(0.2, 0.6, 2)
    zoom = rng.choice([-1, 1]) * rng.uniform(0.2, 0.8)
    jump = CameraPath(still_T + x, still_T + y, still_T + zoom, still_T)
    return replace(shot, path=shot.path + jump)


def _frame(
    shots: list[Shot], weights: Weights, index: int, subframes: int, height: int, width: int
) -> U8:
    """Render a frame: the weighted sum of its shots, averaged over the open shutter."""
    total: F32 = np.zeros((height, width, 3), np.float32)
    moments = range(index * subframes, (index + 1) * subframes)
    for shot, share in zip(shots, weights.of_shots_TN[index], strict=True):
        if share > 0:
            for moment in moments:
                total += render(shot, moment, height, width) * np.float32(share / subframes)
    total += weights.plain_T[index] * weights.colour
    return to_u8(total + 0.5)
