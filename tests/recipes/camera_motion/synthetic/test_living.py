"""A scene that lives: its motion belongs to the scene, stays small, and is no camera's."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from recipes.camera_motion.synthetic.camera import CameraPath
from recipes.camera_motion.synthetic.living import MOST_SWAY, Life, make_life
from recipes.camera_motion.synthetic.render import Shot, render
from recipes.camera_motion.synthetic.scenes import U8, to_u8

TIMES_S = np.linspace(0, 2, 9)
HEIGHT, WIDTH = 90, 160


def test_only_its_region_changes_and_a_still_scene_is_the_same_picture() -> None:
    shares = []
    for shot, life in shots():
        before, after = (render(shot, moment, HEIGHT, WIDTH).astype(int) for moment in (0, 5))
        changed = (np.abs(after - before).max(axis=2) > 6).mean()
        still = Life((), (), life.region, life.level, None, TIMES_S)
        plain = render(Shot(shot.background, 1.0, shot.path, ()), 0, HEIGHT, WIDTH)
        assert (
            np.abs(render(with_life(shot, still), 5, HEIGHT, WIDTH).astype(int) - plain).max() < 4
        )
        shares.append(changed)
    assert 0.1 < np.mean(shares) < 0.8 and min(shares) < 0.1 and max(shares) > 0.3


def test_it_goes_where_the_scene_goes() -> None:
    pixels = 24
    for shot, _ in shots():
        path = shot.path + CameraPath(*(np.full(9, v) for v in (pixels / WIDTH, 0.0, 0.0, 0.0)))
        here = render(shot, 4, HEIGHT, WIDTH)[:, pixels:].astype(int)
        there = render(Shot(shot.background, 1.0, path, (), shot.life), 4, HEIGHT, WIDTH)
        # The field is computed on a coarse grid that hangs on the picture: small differences.
        assert np.abs(here - there[:, :-pixels]).mean() < 3


def test_nothing_sways_farther_than_it_may() -> None:
    lives = [make_life(np.random.default_rng(seed), TIMES_S) for seed in range(100)]
    far = [np.hypot(*wave.size) for life in lives for wave in life.sways]
    steep = [np.hypot(*wave.size) * np.hypot(*wave.k) for life in lives for wave in life.sways]
    assert max(far) <= MOST_SWAY + 1e-9 and max(steep) < 0.61
    assert {life.stream is None for life in lives} == {bool(life.lights) for life in lives}


def shots() -> Iterator[tuple[Shot, Life]]:
    scene = smooth_noise(400)
    still = np.zeros(9)
    for seed in range(24):
        life = make_life(np.random.default_rng(seed), TIMES_S)
        path = CameraPath(still, still, still, still)
        yield Shot(lambda _: scene, 1.0, path, (), life), life


def with_life(shot: Shot, life: Life) -> Shot:
    return Shot(shot.background, shot.density, shot.path, shot.actors, life)


def smooth_noise(side: int) -> U8:
    coarse = np.random.default_rng(0).uniform(0, 255, (side // 8, side // 8, 3))
    return to_u8(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC))
