"""Each label is visible in the clips that have it."""

from __future__ import annotations

import numpy as np
import pytest

from recipes.camera_motion.synthetic.camera import F64, CameraPath
from recipes.camera_motion.synthetic.labels import Motion
from recipes.camera_motion.synthetic.render import Shot, render
from recipes.camera_motion.synthetic.scenes import F32, U8
from recipes.camera_motion.synthetic.script import make_clip
from recipes.camera_motion.synthetic.transitions import Weights, transition_weights
from recipes.camera_motion.synthetic.truth import scene_maps
from recipes.camera_motion.synthetic.visible import SEEN_SHARE, motion_shares, transition_share

RATE_FPS, FRAMES, HEIGHT, WIDTH = 16, 32, 120, 160
TIMES_S = np.arange(FRAMES) / RATE_FPS


@pytest.mark.parametrize("axis", range(4), ids=["pan", "tilt", "zoom", "roll"])
def test_a_motion_over_texture_is_seen_and_behind_a_cover_it_is_not(axis: int) -> None:
    frames, maps = filmed(noise(1), axis, 0.3)
    assert max(motion_shares(frames, maps, RATE_FPS)) > 0.8
    covered = frames.copy()
    covered[:, :, : int(0.9 * WIDTH)] = frames[0, :, : int(0.9 * WIDTH)]
    assert max(motion_shares(covered, maps, RATE_FPS)) < SEEN_SHARE
    _, opposite = filmed(noise(1), axis, -0.3)
    assert max(motion_shares(frames, opposite, RATE_FPS)) < SEEN_SHARE


def test_nothing_moves_over_a_plain_picture() -> None:
    frames, maps = filmed(np.full((400, 400, 3), 90, np.uint8), 0, 0.3)
    grain = np.random.default_rng(0).integers(-3, 4, frames.shape)
    assert max(motion_shares((frames + grain).astype(np.uint8), maps, RATE_FPS)) < 0.05


@pytest.mark.parametrize("label", ["cut", "dissolve", "fade"])
def test_a_transition_is_seen_between_pictures_that_differ(label: Motion) -> None:
    for seed in range(8):
        weights = transition_weights(np.random.default_rng(seed), label, TIMES_S)
        bright = [noise(number) // 2 + 60 for number in range(weights.shots)]
        assert share_of(bright, weights) > 0.5
        colour = weights.colour.astype(np.uint8)
        alike = [np.tile(colour, (400, 400, 1)) for _ in bright]
        assert share_of(alike, weights) == 0


@pytest.mark.parametrize(
    ("label", "number"),
    [("zoom_out", 500), ("roll_ccw", 1529), ("tilt_down", 1044), ("roll_cw", 1476)],
)
def test_a_clip_that_does_not_show_its_label_is_made_again(label: Motion, number: int) -> None:
    """These numbers' first draws: fog, walls, somebody who fills the picture."""
    clip = make_clip(label, (777001, number))
    assert max(motion_shares(clip.frames, clip.maps, clip.rate_fps)) >= SEEN_SHARE


def filmed(scene: U8, axis: int, span: float) -> tuple[U8, F32]:
    """Frames of a camera that moves along one axis of its path, and the truth about them."""
    states: list[F64] = [np.zeros(FRAMES) for _ in range(4)]
    states[axis] = span * TIMES_S / TIMES_S[-1]
    path = CameraPath(*states)
    shot = Shot(lambda _: scene, 1.0, path, ())
    frames = np.stack([render(shot, moment, HEIGHT, WIDTH) for moment in range(FRAMES)])
    weights = Weights(np.ones((FRAMES, 1)), np.zeros(FRAMES), np.zeros(3, np.float32))
    return frames, scene_maps([path], weights, 1, RATE_FPS, HEIGHT / WIDTH)


def share_of(scenes: list[U8], weights: Weights) -> float:
    still = CameraPath(*(np.zeros(FRAMES) for _ in range(4)))
    shots = [Shot(lambda _, scene=scene: scene, 1.0, still, ()) for scene in scenes]
    return transition_share(shots, weights, 1, (HEIGHT, WIDTH))


def noise(seed: int) -> U8:
    """Blocks of random grey: texture that a network of 112 pixels can see."""
    values = np.random.default_rng(seed).integers(0, 256, (50, 50), dtype=np.uint8)
    return np.repeat(np.kron(values, np.ones((8, 8), np.uint8))[..., None], 3, axis=2)
